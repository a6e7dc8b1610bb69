"""The formats that tables are written in, one per module."""
