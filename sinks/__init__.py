"""Where logs go out."""
