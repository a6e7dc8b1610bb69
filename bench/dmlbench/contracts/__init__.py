"""What authors of plugins implement."""
