"""Faust by the batch: the only place that touches the private parts of Faust. Knows nothing of logs."""
