"""What happens to a batch of raw-log records."""
