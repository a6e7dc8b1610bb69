"""Photos, decoded once and kept on disk."""
