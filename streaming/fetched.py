"""Fetched records as columns, without a Python object a record.

aiokafka makes two objects of each record, and a tuple and a list of its headers. Here a record batch is one chunk of
columns: by `streaming/_records.pyx` where that was compiled, else of the records of aiokafka's C reader.

Which batches there are stays aiokafka's own business: aborted transactions, control batches, checksums, the position.
Private parts used: `Fetcher._proc_fetch_request`, `Fetcher._records`, `fetcher.MemoryRecords`,
`FetchResult.check_assignment`, `_partition_records`, `_assignment`, `_topic_partition`, `PartitionRecords._records`,
`_consumer_record`, `_records_iterator`, `next_fetch_offset`; tests/unit/streaming/test_fetched.py holds each.
"""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from types import ModuleType
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer import fetcher as in_aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from streaming.records import Headers, Records

compiled: ModuleType | None
try:
    from streaming import _records as compiled
except ImportError:  # no C compiler when Sluice was installed
    compiled = None

_LENGTH = struct.Struct(">i")  # of what follows it, in a batch
_LENGTH_AT, _AFTER_LENGTH = 8, 12
_COUNT_AT, _RECORDS_AT = 57, 61
_LOG_APPEND_TIME = 1
_REMEMBERED = 4096  # distinct headers
_DECODE = {
    DefaultRecordBatch.CODEC_GZIP: gzip_decode,
    DefaultRecordBatch.CODEC_SNAPPY: snappy_decode,
    DefaultRecordBatch.CODEC_LZ4: lz4_decode,
    DefaultRecordBatch.CODEC_ZSTD: zstd_decode,
}


def keep_as_fetched(consumer: AIOKafkaConsumer, topics: Container[str]) -> None:
    """Let a started consumer hand over what it fetches of `topics` as `Records`."""
    in_aiokafka.MemoryRecords = Batches
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request
    known: dict[Any, Known] = {}

    async def fetched(*args: Any) -> Any:
        # Nothing is awaited between storing what was fetched and returning: nobody has begun to read it.
        answer = await fetch(*args)
        for tp, result in fetcher._records.items():
            if tp.topic in topics and type(result) is FetchResult and result.has_more() and _is_new(result):
                result.getall = Chunks(result, known.setdefault(tp, Known())).take
        return answer

    fetcher._proc_fetch_request = fetched


def _is_new(result: FetchResult) -> bool:
    return type(result._partition_records._records) is Batches and "getall" not in vars(result)


class Known:
    """The headers of a partition's records, each once; most records share theirs with thousands of others."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}
        self.headers: list[Headers] = []

    def renew(self) -> None:
        """Forget them where they have become many; records keep the list that theirs are in."""
        if len(self.headers) > _REMEMBERED:
            self.ids, self.headers = {}, []


class Batches:
    """aiokafka's MemoryRecords, which keeps the bytes of each batch beside it."""

    __slots__ = ("_at", "_data", "_inner", "as_columns", "has_next", "size_in_bytes")

    def __init__(self, data: bytes) -> None:
        self.as_columns = False  # whether batches are handed over as `AsColumns`
        self._data = data
        self._at = 0
        self._inner = MemoryRecords(data)
        self.has_next = self._inner.has_next
        self.size_in_bytes = self._inner.size_in_bytes

    def next_batch(self) -> Any:
        """The next batch; aiokafka's own where it is one of an old format, or holds no records of ours."""
        first = self._at
        batch = self._inner.next_batch()
        if batch is not None:
            self._at += _AFTER_LENGTH + _LENGTH.unpack_from(self._data, first + _LENGTH_AT)[0]
        if not self.as_columns or type(batch) is not DefaultRecordBatch or batch.is_control_batch:
            return batch
        return AsColumns(batch, memoryview(self._data)[first : self._at])


class AsColumns:
    """A batch as aiokafka's `PartitionRecords` asks for it, with one thing to iterate over: itself."""

    __slots__ = ("_batch", "_data", "base_offset", "is_control_batch", "is_transactional", "next_offset", "producer_id",
                 "validate_crc")  # fmt: skip

    def __init__(self, batch: Any, data: memoryview) -> None:
        self._batch = batch
        self._data = data
        self.base_offset = batch.base_offset
        self.is_control_batch = False
        self.is_transactional = batch.is_transactional
        self.next_offset = batch.next_offset
        self.producer_id = batch.producer_id
        self.validate_crc = batch.validate_crc

    @property
    def offset(self) -> int:
        """Of the last record that there may be."""
        return int(self.next_offset) - 1

    def __iter__(self) -> Iterator[AsColumns]:
        yield self

    def records(self, from_offset: int, known: Known) -> Records:
        """The records from an offset on. Raises CorruptRecordException."""
        batch = self._batch
        if compiled is None:
            records = Records.of(batch)
            return records[records.place_of(from_offset) :]
        payload = self._data[_RECORDS_AT:]
        decode = _DECODE.get(batch.compression_type)
        known.renew()
        try:
            columns = compiled.unpack(
                bytes(payload) if decode is None else decode(payload),
                _LENGTH.unpack_from(self._data, _COUNT_AT)[0],
                batch.base_offset,
                batch.first_timestamp,
                batch.max_timestamp if batch.timestamp_type == _LOG_APPEND_TIME else -1,
                from_offset,
                known.ids,
                known.headers,
            )
        except ValueError as exc:
            raise CorruptRecordException(f"batch at offset {batch.base_offset}: {exc}") from exc
        offsets, timestamps, keys, values, header_ids = columns
        return Records(offsets, timestamps, keys, values, header_ids, known.headers)


class Chunks:
    """Takes the place of `FetchResult.getall`: records as columns, at most as many as asked for."""

    def __init__(self, result: FetchResult, known: Known) -> None:
        self._result = result
        self._known = known
        self._left: Records | None = None  # of a batch that is larger than what was asked for
        self._reader = reader = result._partition_records
        self._after: int = reader.next_fetch_offset  # the offset after the batch that was read last
        reader._records.as_columns = True
        reader._consumer_record = self._decode

    def _decode(self, _tp: Any, batch: Any) -> Records:
        if type(batch) is AsColumns:
            return batch.records(self._reader.next_fetch_offset, self._known)
        return Records.of([batch])

    def take(self, max_records: int | None = None) -> Records | list[Any]:
        """As `FetchResult.getall`. Raises CorruptRecordException."""
        result, reader = self._result, self._reader
        if not result.check_assignment(result._topic_partition) or not result.has_more():
            self._let_go()
            return []
        parts: list[Records] = []
        wanted = max_records
        while wanted is None or wanted > 0:
            part, self._left = self._left, None
            if part is None:
                part = next(reader, None)
                self._after = reader.next_fetch_offset
            if part is None:
                result._update_position()
                self._let_go()
                break
            if wanted is not None:
                if len(part) > wanted:
                    part, self._left = part[:wanted], part[wanted:]
                wanted -= len(part)
            if part:
                parts.append(part)
        else:
            # Where a batch was handed over in parts, the reader is behind it and the position only behind the part.
            reader.next_fetch_offset = self._after if self._left is None else self._left.offsets[0]
            result._update_position()
        return Records.joined(parts)

    def _let_go(self) -> None:
        """Undo the circles of references, or what was fetched would be there until the next garbage collection."""
        self._result._partition_records = None
        vars(self._result).pop("getall", None)
        vars(self._reader).pop("_consumer_record", None)
        self._reader._records_iterator = None  # a generator that has the reader as `self`
