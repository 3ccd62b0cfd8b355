"""Pure functions from bytes to records."""
