"""The history's handler of one partition: what it does when something is full or away, and what it tells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import pytest

from agents.history import HistoryHandler, OffsetsAhead
from sinks.history.errors import HistoryGap, StorageFull, StorageUnavailable
from sinks.history.memory import Fault, MemoryStorage
from telemetry.flow import Flow
from tests.support.history import TOPIC, FakeRecord, assert_exactly, records, rows, writer


class Bounds(NamedTuple):
    begin: int
    end: int
    committed: int | None


class FakeBatch(NamedTuple):
    records: list[FakeRecord]
    first_offset: int
    next_offset: int


def batch(first: int, end: int) -> FakeBatch:
    return FakeBatch(records(first, end), first, end)


class Handled:
    """A handler on a storage in memory, its flow, and what Kafka says."""

    def __init__(self, buffer_dir: Path, **options: object) -> None:
        self.storage = MemoryStorage()
        self.flow = Flow("history", "destination")
        self.kafka = Bounds(0, 1000, None)
        self.now_s = 1000.0
        self.handler = HistoryHandler(
            TOPIC,
            0,
            new_writer=lambda partition: writer(self.storage, buffer_dir, partition, **options),
            bounds=self._bounds,
            flow=self.flow,
            clock=lambda: self.now_s,
        )

    async def _bounds(self, _partition: int) -> Bounds:
        return self.kafka


async def test_a_full_local_disk_makes_smaller_files_and_loses_nothing(tmp_path: Path) -> None:
    no_directory = tmp_path / "file"
    no_directory.write_bytes(b"")
    handled = Handled(no_directory / "buffers", memory_bytes=1)  # every batch but a roll's first needs the disk
    assert await handled.handler.open() == 0

    for first in range(0, 50, 10):
        await handled.handler.handle([batch(first, first + 10)])

    assert "Not a directory" in str(handled.flow.last_error)
    assert await handled.handler.close() == 50
    assert (handled.flow.received, handled.flow.sent) == (50, 50)
    assert_exactly(handled.storage, 50)


async def test_it_goes_on_where_the_files_end_whatever_the_group_has_committed(tmp_path: Path) -> None:
    handled = Handled(tmp_path)
    await handled.handler.open()
    await handled.handler.handle([batch(0, 10)])
    await handled.handler.close()

    for committed in (None, 0, 10, 500):
        handled.kafka = Bounds(0, 1000, committed)
        assert await handled.handler.open() == 10
        await handled.handler.abandon()


@pytest.mark.parametrize(("kafka", "error"), [((11, 1000, 10), HistoryGap), ((0, 9, 9), OffsetsAhead)])
async def test_what_only_an_operator_can_settle_stops_the_partition(
    tmp_path: Path, kafka: tuple[int, int, int], error: type[Exception]
) -> None:
    handled = Handled(tmp_path)
    await handled.handler.open()
    await handled.handler.handle([batch(0, 10)])
    await handled.handler.close()
    handled.kafka = Bounds(*kafka)

    with pytest.raises(error) as caught:
        await handled.handler.open()

    assert getattr(caught.value, "retriable", True) is False
    assert str(handled.flow.last_error) == str(caught.value)


async def test_a_storage_that_is_away_is_told_and_abandoned_records_count_once(tmp_path: Path) -> None:
    handled = Handled(tmp_path)
    await handled.handler.open()
    await handled.handler.handle([batch(0, 10)])
    handled.storage.fail("write", Fault.FULL)

    with pytest.raises(StorageFull):
        await handled.handler.close()
    assert "raw-log[0]: " in str(handled.flow.last_error)
    await handled.handler.abandon()
    assert (handled.flow.received, handled.flow.sent) == (0, 0)

    assert await handled.handler.open() == 0
    await handled.handler.handle([batch(0, 10)])
    assert await handled.handler.close() == 10
    assert (handled.flow.received, handled.flow.sent) == (10, 10)
    assert_exactly(handled.storage, 10)


async def test_what_kafka_dropped_while_the_partition_was_being_read_stops_it_and_keeps_what_it_has(
    tmp_path: Path,
) -> None:
    """A Kafka client goes on at the oldest record there is, and says nothing: the jump is all that there is to see."""
    handled = Handled(tmp_path)
    await handled.handler.open()
    await handled.handler.handle([batch(0, 10)])
    handled.kafka = Bounds(40, 1000, None)

    with pytest.raises(HistoryGap, match=r"offsets 10 to 39 are gone.*accept-gap --group history"):
        await handled.handler.handle([batch(40, 50)])

    assert handled.handler.committed_offset == 10, "what was buffered may be gone from Kafka, too"
    await handled.handler.abandon()
    assert (handled.flow.received, handled.flow.sent) == (10, 10)
    assert_exactly(handled.storage, 10)
    with pytest.raises(HistoryGap):
        await handled.handler.open()


async def test_holes_that_transactions_leave_are_no_gap(tmp_path: Path) -> None:
    handled = Handled(tmp_path)
    await handled.handler.open()
    await handled.handler.handle([batch(0, 10)])
    await handled.handler.handle([batch(12, 20), batch(25, 30)])
    assert await handled.handler.close() == 30
    assert len(rows(handled.storage)) == 23


async def test_the_open_roll_is_told(tmp_path: Path) -> None:
    handled = Handled(tmp_path)
    await handled.handler.open()
    assert handled.handler.open_roll is None
    await handled.handler.handle([batch(0, 10)])
    handled.now_s += 2.5
    await handled.handler.handle([batch(10, 12)])
    handled.now_s += 1
    roll = handled.handler.open_roll
    assert roll is not None
    assert (roll.records, roll.age_s) == (12, 3.5)
    assert roll.bytes > 12 * 40
    assert (handled.handler.committed_offset, handled.handler.committed_at_ms) == (None, None)
    await handled.handler.close()
    assert handled.handler.open_roll is None
    assert handled.handler.committed_offset == 12
    assert abs(int(handled.handler.committed_at_ms or 0) - time.time() * 1000) < 60_000


async def test_gigantic_records_while_hdfs_is_away_pile_up_nowhere(tmp_path: Path) -> None:
    """Each attempt reads until a roll is due, fails, and drops what it has: memory and local disk stay bounded."""
    handled = Handled(tmp_path, memory_bytes=1 << 20, roll_bytes=3 << 20)
    large = [record._replace(value=b"%d " % record.offset * 400_000) for record in records(0, 12)]
    away = True

    def fail(number: int) -> None:
        if away:
            handled.storage.fail("write", Fault.REFUSED)

    handled.storage.before_call = fail
    rolled_at = []
    for _ in range(5):
        try:
            assert await handled.handler.open() == 0
            for first in range(0, 12, 2):
                await handled.handler.handle([FakeBatch(large[first : first + 2], first, first + 2)])
                roll = handled.handler.open_roll
                assert roll is not None
                assert roll.bytes < 5 << 20
                assert bytes_below(tmp_path) < 5 << 20
        except StorageUnavailable:
            rolled_at.append(handled.flow.received)
            await handled.handler.abandon()
        assert handled.handler.open_roll is None
        assert bytes_below(tmp_path) == 0
    assert len(rolled_at) == 5
    assert not handled.storage.files
    assert (handled.flow.received, handled.flow.sent) == (0, 0)
    away = False
    handled.storage.fail("write", Fault.ANSWER_LOST)
    await handled.handler.open()
    with pytest.raises(StorageUnavailable):
        await handled.handler.handle([FakeBatch(large, 0, 12)])
    await handled.handler.abandon()
    await handled.handler.open()
    await handled.handler.handle([FakeBatch(large, 0, 12)])
    assert await handled.handler.close() == 12
    assert [row["offset"] for row in rows(handled.storage)] == list(range(12))


def bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
