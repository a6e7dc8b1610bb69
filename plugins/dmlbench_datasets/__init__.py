"""First-party datasets, one a file; registered by the entry points in pyproject.toml."""
