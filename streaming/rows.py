"""Rows to be written to topics: single ones, and columns of them that become record batches without an object a row."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from types import ModuleType
from typing import NamedTuple, overload

from aiokafka.codec import zstd_encode
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.util import calc_crc32c

compiled: ModuleType | None
try:
    from streaming import _records as compiled
except ImportError:  # no C compiler when Sluice was installed
    compiled = None

# Of packed batches and, as the producer's setting, of single rows. A third smaller than lz4 at the level of
# `streaming/compression.py`, for 0.2 µs a record more (decision 0005).
COMPRESSION = "zstd"
_CODEC, _compress = DefaultRecordBatch.CODEC_ZSTD, zstd_encode

_HEADER = struct.Struct(">qiibIhiqqqhii")  # of a record batch, format v2
_AFTER_LENGTH, _CRC_AT, _CRC_FROM = 12, 17, 21
_MAGIC = 2
_TRANSACTIONAL = 0x10


class Row(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None  # None: now
    headers: list[tuple[str, bytes | None]]


_new = tuple.__new__  # a NamedTuple's own __new__ takes three times as long


class Columns(NamedTuple):
    """Rows of one topic that were made of input records: each names its one in its only header."""

    topic: str
    keys: list[bytes | None]
    values: list[bytes | None]
    timestamps_ms: list[int]
    offsets: list[int]


class PackedBatch:
    """A record batch that is compressed already, as aiokafka's sender asks for one: its BatchBuilder's other half."""

    def __init__(self, packed: bytearray, rows: int, first_ms: int, newest_ms: int) -> None:
        """`packed`: the rows as records behind the room for the batch's header."""
        compressed = _compress(memoryview(packed)[_HEADER.size :])
        self._attributes = _TRANSACTIONAL
        if len(compressed) < len(packed) - _HEADER.size:
            self._attributes |= _CODEC
            packed[_HEADER.size :] = compressed
        self._packed = packed
        self._rows = rows
        self._times_ms = first_ms, newest_ms
        self._producer = -1, -1, 0  # id, epoch, base sequence

    def close(self) -> None:
        """Nothing can be added anyway."""

    def closed(self) -> bool:
        """Whether it may be sent at once."""
        return True

    def record_count(self) -> int:
        """How many rows it holds."""
        return self._rows

    def size(self) -> int:
        """Of the batch, bytes."""
        return len(self._packed)

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytearray:
        packed = self._packed
        _HEADER.pack_into(
            packed, 0, 0, len(packed) - _AFTER_LENGTH, -1, _MAGIC, 0, self._attributes, self._rows - 1,
            *self._times_ms, *self._producer, self._rows,
        )  # fmt: skip
        struct.pack_into(">I", packed, _CRC_AT, calc_crc32c(bytes(memoryview(packed)[_CRC_FROM:])))
        return packed


class Rows(Sequence[Row]):
    """Rows in the order in which they were added; those of columns say `prefix` and an offset in header `name`."""

    def __init__(self, name: str, prefix: bytes) -> None:
        self._name = name
        self._prefix = prefix
        self._parts: list[list[Row] | Columns] = []

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """The same rows."""
        if isinstance(rows, cls):
            return rows
        made = cls("", b"")
        made.add(rows)
        return made

    def add(self, rows: Sequence[Row]) -> None:
        """Add single rows."""
        self._parts.append(list(rows))

    def add_columns(self, columns: Columns) -> None:
        """Add rows as columns."""
        self._parts.append(columns)

    def by_topic(self, max_bytes: int) -> dict[str, list[Row] | list[PackedBatch]]:
        """The rows of each topic, where it can be done packed into batches of at most so many bytes uncompressed.

        Compresses, half of the time without the GIL. A row that is larger than a batch is alone in one.
        """
        topics: dict[str, list[list[Row] | Columns]] = {}
        for part in self._parts:
            if isinstance(part, Columns):
                topics.setdefault(part.topic, []).append(part)
            else:
                for row in part:
                    topics.setdefault(row.topic, []).append([row])
        found: dict[str, list[Row] | list[PackedBatch]] = {}
        for topic, parts in topics.items():
            columns = [part for part in parts if isinstance(part, Columns)]
            if compiled is None or len(columns) < len(parts):
                found[topic] = [row for part in parts for row in self._rows_of(part)]
            else:
                found[topic] = self._pack(columns, max_bytes)
        return found

    def _pack(self, parts: Sequence[Columns], max_bytes: int) -> list[PackedBatch]:
        _, keys, values, timestamps_ms, offsets = parts[0]
        if len(parts) > 1:
            keys, values, timestamps_ms, offsets = (
                [each for column in columns for each in column] for columns in list(zip(*parts, strict=True))[1:]
            )
        assert compiled is not None
        name, batches, place = self._name.encode(), [], 0
        while place < len(values):
            packed, following, first_ms, newest_ms = compiled.pack(
                keys, values, timestamps_ms, offsets, name, self._prefix, place, _HEADER.size, max_bytes
            )
            batches.append(PackedBatch(packed, following - place, first_ms, newest_ms))
            place = following
        return batches

    def _rows_of(self, part: list[Row] | Columns) -> Iterator[Row]:
        if not isinstance(part, Columns):
            return iter(part)
        topic, keys, values, timestamps_ms, offsets = part
        name, prefix = self._name, self._prefix
        headers = [[(name, prefix + b"%d" % offset)] for offset in offsets]
        return map(_new, repeat(Row), zip(repeat(topic, len(keys)), keys, values, timestamps_ms, headers, strict=True))

    def __len__(self) -> int:
        return sum(len(part.values) if isinstance(part, Columns) else len(part) for part in self._parts)

    def __iter__(self) -> Iterator[Row]:
        for part in self._parts:
            yield from self._rows_of(part)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        return list(self)[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
