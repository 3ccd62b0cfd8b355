"""Rows as columns become the record batches that single rows would be."""

from typing import Any

import pytest
from aiokafka.record.memory_records import MemoryRecords

from streaming import rows as module
from streaming.rows import Columns, PackedBatch, Row, Rows

COUNT = 300


@pytest.fixture(params=["compiled", "python"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways; the compiled part is there wherever the tests run."""
    assert module.compiled is not None
    if request.param == "python":
        monkeypatch.setattr(module, "compiled", None)
    return str(request.param)


def columns(topic: str = "t", first: int = 7, count: int = COUNT, size: int = 10) -> Columns:
    numbers = range(first, first + count)
    return Columns(
        topic,
        [None if number % 2 else b"k%d" % number for number in numbers],
        [None if number % 5 == 0 else b"%d" % number * size for number in numbers],
        [1_700_000_000_000 + (number * 37) % 100 for number in numbers],
        list(numbers),
    )


def expected(some: Columns) -> list[Row]:
    return [
        Row(some.topic, key, value, timestamp_ms, [("raw", b"3/%d" % offset)])
        for key, value, timestamp_ms, offset in zip(*some[1:], strict=True)
    ]


def rows_of(*parts: Any) -> Rows:
    rows = Rows("raw", b"3/")
    for part in parts:
        rows.add_columns(part) if isinstance(part, Columns) else rows.add(part)
    return rows


def read_back(topic: str, packed: list[PackedBatch]) -> list[Row]:
    found = []
    for batch in packed:
        batch._set_producer_state(9, 2, 40)
        built = bytes(batch._build())
        assert len(built) == batch.size()
        read = MemoryRecords(built).next_batch()
        assert read is not None
        assert read.validate_crc()
        assert (read.producer_id, read.producer_epoch, read.base_sequence) == (9, 2, 40)
        assert (read.is_transactional, read.is_control_batch) == (True, False)
        assert read.last_offset_delta == batch.record_count() - 1
        records = list(read)
        assert [each.offset for each in records] == list(range(batch.record_count()))
        assert read.first_timestamp == records[0].timestamp
        assert read.max_timestamp == max(each.timestamp for each in records)
        found += [Row(topic, each.key, each.value, each.timestamp, each.headers) for each in records]
    return found


def test_columns_are_the_rows_that_they_stand_for(how: str) -> None:
    single = Row("letters", b"k", b"v", 1, [("error", b"what")])
    rows = rows_of(columns(), [single], columns("u", 1000, 2))
    assert rows == [*expected(columns()), single, *expected(columns("u", 1000, 2))]
    assert len(rows) == COUNT + 3
    assert rows[COUNT] == single
    by_topic = rows.by_topic(1 << 20)
    assert list(by_topic) == ["t", "letters", "u"]
    assert by_topic["letters"] == [single]
    if how == "python":
        assert by_topic["t"] == expected(columns())


def test_packed_columns_are_read_back_by_aiokafka() -> None:
    parts = columns(), columns(first=5000, count=70)
    (batch,) = packed = rows_of(*parts).by_topic(1 << 20)["t"]
    assert isinstance(batch, PackedBatch)
    assert batch.closed()
    assert read_back("t", packed) == [*expected(parts[0]), *expected(parts[1])]  # type: ignore[arg-type]


def test_what_does_not_get_smaller_is_not_compressed() -> None:
    (batch,) = packed = rows_of(columns(count=1, size=0)).by_topic(1 << 20)["t"]
    assert read_back("t", packed) == expected(columns(count=1, size=0))  # type: ignore[arg-type]
    assert batch._build()[22] & 7 == 0  # type: ignore[union-attr]


def test_batches_are_not_larger_than_asked_for_but_for_a_row_that_is_alone() -> None:
    some = columns(size=100)
    packed = rows_of(some).by_topic(2000)["t"]
    assert len(packed) > 20
    assert read_back("t", packed) == expected(some)  # type: ignore[arg-type]
    alone = columns(first=6, count=2, size=3000)
    packed = rows_of(alone).by_topic(2000)["t"]
    assert [batch.record_count() for batch in packed] == [1, 1]  # type: ignore[union-attr]
    assert read_back("t", packed) == expected(alone)  # type: ignore[arg-type]


def test_times_may_go_back(how: str) -> None:
    some = columns(count=3)._replace(timestamps_ms=[1_700_000_000_500, 0, 1_700_000_000_900])
    assert rows_of(some) == expected(some)
    if how == "compiled":
        assert read_back("t", rows_of(some).by_topic(1 << 20)["t"]) == expected(some)  # type: ignore[arg-type]


def test_a_topic_with_single_rows_and_columns_keeps_their_order(how: str) -> None:
    single = Row("t", b"k", b"v", 1, [])
    assert rows_of(columns(count=2), [single], columns(first=9, count=2)).by_topic(100)["t"] == [
        *expected(columns(count=2)), single, *expected(columns(first=9, count=2)),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"keys": [b"k"]}, ValueError),
        ({"timestamps_ms": []}, ValueError),
        ({"offsets": [1, 2, 3]}, ValueError),
        ({"offsets": [-1, 2]}, ValueError),
        ({"values": ["text", b""]}, TypeError),
        ({"keys": [b"k", 5]}, TypeError),
    ],
)
def test_columns_that_are_none_are_refused(change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        rows_of(columns(count=2)._replace(**change)).by_topic(100)
