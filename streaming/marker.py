"""What a partition's state says of its input: how far it has come, and which offsets were given up on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import orjson

MARKER = b"\x00marker"
_GAP = b"\x00gap/"
_GAPS_END = b"\x00gap0"


class _Reader(Protocol):
    def get(self, key: bytes) -> bytes | None: ...
    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]: ...


class Marker(NamedTuple):
    """How far a partition has come: the next input offset, and the next one whose outputs are to be written."""

    applied: int
    forwarded: int

    def encode(self) -> bytes:
        """The marker as stored."""
        return orjson.dumps(self._asdict())

    @classmethod
    def decode(cls, stored: bytes) -> Marker:
        """The marker that was stored."""
        return cls(**orjson.loads(stored))

    @classmethod
    def of(cls, store: _Reader) -> Marker | None:
        """The stored marker, None for a partition that was never worked on."""
        stored = store.get(MARKER)
        return cls.decode(stored) if stored is not None else None


class Gap(NamedTuple):
    """Offsets that an operator gave up: they are in no window and no monitoring topic. Kept for good."""

    first: int
    last: int
    said: str  # metadata of the offset by which it was accepted

    @property
    def key(self) -> bytes:
        """Where it is stored; in the order of offsets."""
        return _GAP + b"%020d" % self.first

    def encode(self) -> bytes:
        """The gap as stored."""
        return orjson.dumps(self._asdict())


def gaps(store: _Reader) -> list[Gap]:
    """The gaps of one partition, oldest first."""
    return [Gap(**orjson.loads(value)) for _, value in store.range(_GAP, _GAPS_END)]
