"""What tests share: the real services with handles on them, real workers, a real browser, waiting with a deadline."""
