"""Where logs come in."""
