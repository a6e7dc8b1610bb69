"""The formats that tables are written in, one a module."""
