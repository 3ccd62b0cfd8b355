"""Benchmarks: each case states its load and counts what really arrived; `python -m bench` prints a table."""
