"""Record batches that take many records in one call, where aiokafka's own takes one.

They stand in the place of aiokafka's BatchBuilder, whose private parts (`_set_producer_state`, `_build`) its sender
calls: tests/unit/sources/test_batches.py holds both kinds to the same bytes.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple, Protocol

from aiokafka.codec import lz4_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from parsers.packed import PackedEvents

try:
    from sources import _batch as compiled
except ImportError:  # no C compiler where Sluice was installed: aiokafka's own batches, which take longer
    compiled = None  # type: ignore[assignment]

# Level 9, which is all that aiokafka knows, takes ten times the CPU for a tenth less room (decision 0005).
LZ4_LEVEL: Final = 1
# As in a batch's attributes.
PLAIN: Final = 0
LZ4: Final = 3

# What a record takes in a batch besides its texts, at most, and each of its headers.
_RECORD_OVERHEAD_BYTES: Final = 40
_HEADER_OVERHEAD_BYTES: Final = 10

# Base offset, bytes that follow, leader epoch, magic, checksum of what follows; and that, up to the first record.
_START = struct.Struct(">qiibI")
_REST = struct.Struct(">hiqqqhii")
_AFTER_LENGTH_BYTES = _START.size - 12
_HEAD_BYTES = _START.size + _REST.size


class Envelope(NamedTuple):
    """All that a record is but its body, time and place."""

    key: bytes | None
    headers: list[tuple[str, bytes]]
    key_bytes: bytes  # as in the record, with lengths; nothing where there is no compiled part
    header_bytes: bytes
    n_bytes: int  # of a record without its body, at most


class Batch(Protocol):
    """Records for one partition. It takes them until it is full or closed."""

    def extend(self, timestamp_ms: int, envelope: Envelope, events: PackedEvents, first: int, after: int) -> int:
        """Add the bodies from number `first` to that before `after`. Returns how many of them it took, in order.

        The first record of a batch is taken whatever its size. A batch that did not take all takes no more.
        """

    def close(self) -> None:
        """Take no more."""


def new_envelope(named: dict[str, str], key: bytes | None) -> Envelope:
    """The envelope of events with these headers."""
    headers = []
    n_bytes = _RECORD_OVERHEAD_BYTES + len(key or b"")
    for name, text in named.items():
        value = text.encode()
        headers.append((name, value))
        n_bytes += _HEADER_OVERHEAD_BYTES + len(name.encode()) + len(value)
    key_bytes, header_bytes = (
        (b"", b"") if compiled is None else (compiled.key_bytes(key), compiled.header_bytes(headers))
    )
    return Envelope(key, headers, key_bytes, header_bytes, n_bytes)


def longest(events: PackedEvents, first: int, after: int) -> int:
    """The bytes of the longest of these bodies."""
    return max(events.sizes(first, after)) if compiled is None else compiled.longest(events.ends, first, after)


def new_batch(limit_bytes: int, compression: int) -> Batch:
    """An empty batch of so many bytes before compression, at most (but for a first record that is larger)."""
    return PlainBatch(limit_bytes, compression) if compiled is None else CompiledBatch(limit_bytes, compression)


class PlainBatch(BatchBuilder):  # type: ignore[misc]
    """aiokafka's own, a record after the other."""

    def extend(self, timestamp_ms: int, envelope: Envelope, events: PackedEvents, first: int, after: int) -> int:
        """As `Batch` says."""
        append, key, headers = self.append, envelope.key, envelope.headers
        for taken, body in enumerate(events.each_body(first, after)):
            if append(timestamp=timestamp_ms, key=key, value=body, headers=headers) is None:
                return taken
        return after - first


class CompiledBatch:
    """The same to aiokafka, made by the compiled part."""

    def __init__(self, limit_bytes: int, compression: int) -> None:
        self._records = compiled.Records(limit_bytes - _HEAD_BYTES - 1)  # aiokafka's stay a byte below, too
        self._compression = compression
        self._closed = False
        self._built: bytes | None = None
        self._producer = (-1, -1, 0)  # id, epoch and the number of the first record
        self._first_ms = self._last_ms = 0

    def extend(self, timestamp_ms: int, envelope: Envelope, events: PackedEvents, first: int, after: int) -> int:
        """As `Batch` says."""
        if self._closed:
            return 0
        records = self._records
        if not records.count:
            self._first_ms = self._last_ms = timestamp_ms
        taken = records.extend(
            timestamp_ms - self._first_ms,
            *(envelope.key_bytes, envelope.header_bytes, events.bodies, events.ends, first, after),
        )
        if taken and timestamp_ms > self._last_ms:
            self._last_ms = timestamp_ms
        if taken < after - first:
            self._closed = True
        return taken

    def close(self) -> None:
        """As `Batch` says."""
        self._closed = True

    # For aiokafka's sender.

    def closed(self) -> bool:
        return self._closed

    def record_count(self) -> int:
        return self._records.count

    def size(self) -> int:
        return _HEAD_BYTES + self._records.n_bytes if self._built is None else len(self._built)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        assert self._built is None, "a batch keeps its numbers when it is sent again"
        self._producer = (producer_id, producer_epoch, base_sequence)

    def _build(self) -> bytes:
        self._closed = True
        if self._built is None:
            payload = self._records.take()
            attributes = PLAIN
            if self._compression == LZ4:
                smaller = lz4_encode(payload, level=LZ4_LEVEL)
                if len(smaller) < len(payload):
                    payload, attributes = smaller, LZ4
            count = self._records.count
            rest = _REST.pack(attributes, count - 1, self._first_ms, self._last_ms, *self._producer, count) + payload
            self._built = _START.pack(0, _AFTER_LENGTH_BYTES + len(rest), -1, 2, calc_crc32c(rest)) + rest
        return self._built
