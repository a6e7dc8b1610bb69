"""First-party losses, one a file; registered by the entry points in pyproject.toml."""
