"""Windowed tables: how records add up, and how the windows of several partitions add up when asked."""
