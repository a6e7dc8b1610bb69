"""From a suite to its trials."""
