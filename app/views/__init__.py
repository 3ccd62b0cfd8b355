"""What the web server answers: one file a group of paths."""
