"""The Python API: what the command line does, for scripts and notebooks."""
