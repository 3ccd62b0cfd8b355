"""What the Thrift and the Avro source have in common: listening, memory, and getting a request's events into Kafka."""
