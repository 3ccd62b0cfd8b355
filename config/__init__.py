"""Settings and routes: read once, checked at start."""
