"""Flume's ThriftSourceProtocol, for Flume agents' Thrift sinks and clients of Flume's SDK."""
