"""A store in memory: for tests, and for whoever wants windows without RocksDB."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping


class MemoryStore:
    """What one partition's tables have committed, in a dict. Nothing survives the process."""

    def __init__(self) -> None:
        self.content: dict[bytes, bytes] = {}
        self._sorted: list[bytes] | None = []

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, None where there is none."""
        return self.content.get(key)

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every entry with start <= key < end, in byte order, as it was when asked."""
        if self._sorted is None:
            self._sorted = sorted(self.content)
        keys = self._sorted[bisect_left(self._sorted, start) : bisect_left(self._sorted, end)]
        return iter([(key, self.content[key]) for key in keys])

    def write(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Commit `changes`, all of them."""
        for key, value in changes.items():
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value
        self._sorted = None
