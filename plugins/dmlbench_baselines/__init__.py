"""First-party baselines, one a file; registered by the entry points in pyproject.toml."""
