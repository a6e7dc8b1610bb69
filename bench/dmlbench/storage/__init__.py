"""Files that are whole or not there: records, caches, locks."""
