"""Where trials run: executors, and what their workers do."""
