"""The local spool: events that Kafka does not take now, kept on disk until it does."""
