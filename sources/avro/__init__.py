"""Flume's AvroSourceProtocol, for Flume agents' Avro sinks, Log4j's Flume appender and clients of Flume's SDK."""
