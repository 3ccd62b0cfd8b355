"""A bound on the bytes that wait in memory for Kafka."""

from __future__ import annotations


class Budget:
    """Bytes of memory that may be in use at once, for bodies being read and events not yet acknowledged.

    Plain counting on one event loop: whoever takes gives back exactly once, in a `finally`.
    """

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def take(self, n_bytes: int) -> bool:
        """Whether there was room; False takes nothing."""
        used = self.used_bytes + n_bytes
        if used > self.limit_bytes:
            return False
        self.used_bytes = used
        return True

    def give(self, n_bytes: int) -> None:
        """Give back what was taken."""
        self.used_bytes -= n_bytes
        assert self.used_bytes >= 0, "more given back than taken"
