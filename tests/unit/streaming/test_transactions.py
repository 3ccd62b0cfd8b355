"""Rows become record batches by aiokafka's own builder, in order and each once."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from streaming.errors import TransactionFailed
from streaming.rows import COMPRESSION, Row
from streaming.transactions import _batches

CODEC = DefaultRecordBatch.CODEC_ZSTD


class Producer:
    """What packing asks of a producer."""

    def __init__(self, batch_bytes: int) -> None:
        self.batch_bytes = batch_bytes

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, CODEC, is_transactional=1)


def rows(count: int, size: int = 10) -> list[Row]:
    return [
        ("t", None if number % 2 else b"k%d" % number, b"%d" % number * size, number, [("raw", b"0/%d" % number)])
        for number in range(count)
    ]


def packed(some: list[Row], batch_bytes: int = 1 << 20) -> list[tuple[Any, int]]:
    producer: Any = Producer(batch_bytes)
    return _batches(producer, some)


def read_back(batch: Any) -> list[tuple[Any, ...]]:
    records = MemoryRecords(bytes(batch._build())).next_batch()
    assert records is not None
    return [(each.offset, each.key, each.value, each.timestamp, each.headers) for each in records]


def expected(some: list[Row]) -> list[tuple[Any, ...]]:
    return [(offset, key, value, at, headers) for offset, (_, key, value, at, headers) in enumerate(some)]


def test_what_is_packed_is_read_back() -> None:
    ((batch, count),) = packed(rows(300))
    assert (count, batch.record_count(), batch.closed()) == (300, 300, True)
    assert read_back(batch) == expected(rows(300))


def test_a_batch_that_is_full_is_followed_by_another_and_offsets_begin_anew() -> None:
    batches = packed(rows(100, 100), 5000)
    assert len(batches) > 3
    assert sum(count for _, count in batches) == 100
    at = 0
    for batch, count in batches:
        assert batch.record_count() == count
        assert read_back(batch) == expected(rows(100, 100)[at : at + count])
        at += count


def test_a_row_larger_than_a_batch_goes_alone() -> None:
    large: Row = ("t", None, b"x" * 9000, 1, [])
    assert [count for _, count in packed([*rows(2), large, *rows(2)], 5000)] == [2, 1, 2]


def test_no_rows_are_no_batches() -> None:
    assert packed([]) == []


def test_a_builder_that_takes_nothing_is_an_error_and_no_endless_loop() -> None:
    class Full:
        def create_batch(self) -> Any:
            return SimpleNamespace(_builder=SimpleNamespace(append=lambda *_: None))

    full: Any = Full()
    with pytest.raises(TransactionFailed, match="10 bytes"):
        _batches(full, [("t", None, b"x" * 10, 1, [])])


def test_the_wrapper_around_the_builder_does_nothing_else_than_we_do() -> None:
    ours, theirs = packed(rows(50))[0][0], BatchBuilder(1 << 20, CODEC, is_transactional=1)
    for _, key, value, timestamp_ms, headers in rows(50):
        theirs.append(timestamp=timestamp_ms, key=key, value=value, headers=headers)
    theirs.close()
    assert vars(ours).keys() == vars(theirs).keys()
    assert [vars(ours)[name] for name in vars(ours) if name != "_builder"] == [
        vars(theirs)[name] for name in vars(theirs) if name != "_builder"
    ]
    assert ours._build() == theirs._build()


async def test_a_producer_compresses_as_said() -> None:
    producer = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", compression_type=COMPRESSION)
    ((batch, _),) = _batches(producer, rows(50))
    assert batch._build()[22] & DefaultRecordBatch.CODEC_MASK == CODEC
    await producer.stop()
