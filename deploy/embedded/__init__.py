"""`make run`: an embedded Kafka-compatible broker and one worker with every role, for trying Sluice out."""
