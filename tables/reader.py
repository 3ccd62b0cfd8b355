"""What tables need of a store: the committed state of one raw-log partition, to be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

Changes = dict[bytes, "bytes | None"]  # what is to be written, changelog and store alike; None deletes


class Reader(Protocol):
    """The committed state of one partition. Reads never see changes that are not committed yet."""

    def get(self, key: bytes) -> bytes | None:
        """The value of `key`, None where there is none."""
        ...

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every entry with start <= key < end, in byte order."""
        ...
