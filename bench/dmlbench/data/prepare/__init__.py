"""From the archives that authors distribute to a folder that loads."""
