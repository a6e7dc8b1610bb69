"""From a dataset plugin to arrays: reading, checking, splitting, augmenting."""
