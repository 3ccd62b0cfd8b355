"""The writer in ordinary times: positions, when a roll is due, order, buffers."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sinks.history import layout
from sinks.history.commit import CommitLog
from sinks.history.errors import BufferFull, BufferLost, HistoryDamaged, OffsetsOutOfOrder, StorageUnavailable
from sinks.history.memory import Fault, MemoryStorage
from sinks.history.storage import Body
from sinks.history.verify import verify
from tests.support.history import (
    TOPIC,
    FakeRecord,
    assert_exactly,
    data_files,
    drive,
    list_names,
    record,
    records,
    rows,
    writer,
)


async def test_positions_follow_what_is_appended_and_committed(tmp_path: Path) -> None:
    history = writer(MemoryStorage(), tmp_path)
    assert await history.recover() is None
    assert history.next_offset is None
    assert await history.commit() is None
    await history.append([])
    await history.append(records(5, 8))
    assert (history.next_offset, history.committed_offset, history.buffered_records) == (8, None, 3)
    assert history.buffered_bytes > 100
    assert await history.commit() == 8
    assert (history.next_offset, history.committed_offset, history.buffered_records) == (8, 8, 0)
    assert history.buffered_bytes == 0
    assert await history.commit() == 8


async def test_the_first_roll_starts_at_the_first_record_and_all_others_where_the_last_ended(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    for batch in (records(7, 9), records(12, 14), records(20, 22)):
        await history.append(batch)
        await history.commit()
    files = [layout.parse_data_path(path) for path in data_files(storage)]
    assert {(file.first, file.last) for file in files if file} == {(7, 8), (9, 13), (14, 21)}


async def test_a_roll_is_due_by_age(tmp_path: Path) -> None:
    now = 100.0
    history = writer(MemoryStorage(), tmp_path, clock=lambda: now, roll_interval_s=60.0)
    await history.recover()
    assert history.roll_deadline is None
    assert not history.roll_due()
    await history.append([record(0)])
    now = 130.0
    await history.append([record(1)])
    assert history.roll_deadline == 160.0
    now = 159.9
    assert not history.roll_due()
    now = 160.0
    assert history.roll_due()
    await history.commit()
    assert history.roll_deadline is None
    assert not history.roll_due()


async def test_a_roll_is_due_by_the_size_of_its_largest_file(tmp_path: Path) -> None:
    history = writer(MemoryStorage(), tmp_path, roll_bytes=1_000_000, memory_bytes=500_000)
    await history.recover()
    for offset in range(0, 20, 2):
        await history.append(
            [FakeRecord(offset, b"x" * 100_000, (("type", b"small"),))] if offset % 4 else [record(offset)]
        )
        assert not history.roll_due()
    for offset in range(20, 30):
        await history.append([FakeRecord(offset, b"x" * 99_000, (("type", b"large"),))])
    assert not history.roll_due()
    for offset in range(30, 34):
        await history.append([FakeRecord(offset, b"x" * 99_000, (("type", b"large"),))])
    assert history.roll_due()


async def test_a_roll_is_due_by_the_number_of_its_files(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path, max_files=100, memory_bytes=1000)
    await history.recover()
    offset = 0
    while not history.roll_due():
        await history.append([FakeRecord(offset, b"x", (("type", b"%d" % offset),))])
        offset += 1
    assert offset == 100
    assert len(list_names(tmp_path / list_names(tmp_path)[0])) < 30  # spilled together, not a file each
    assert await history.commit() == 100
    assert len(data_files(storage)) == 100


@pytest.mark.parametrize(
    "batch", [records(3, 6), [record(7), record(6)], [record(5), record(5)], [record(4), record(9)]]
)
async def test_offsets_that_come_twice_or_backwards_are_refused(tmp_path: Path, batch: list[FakeRecord]) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(0, 5))
    with pytest.raises(OffsetsOutOfOrder):
        await history.append(batch)
    await history.append(records(5, 10))
    await history.commit()
    with pytest.raises(OffsetsOutOfOrder):
        await history.append(records(9, 12))
    assert_exactly(storage, 10)


async def test_recover_comes_first_and_after_discard(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path, memory_bytes=1)
    with pytest.raises(RuntimeError, match="recover"):
        await history.append([record(0)])
    with pytest.raises(RuntimeError, match="recover"):
        await history.commit()
    await history.recover()
    await history.append(records(0, 5))
    await history.append(records(5, 10))
    assert list_names(tmp_path)
    await history.discard()
    assert list_names(tmp_path) == []
    assert history.buffered_records == 0
    with pytest.raises(RuntimeError, match="recover"):
        await history.commit()
    assert await history.recover() is None
    await history.append(records(0, 4))
    assert await history.commit() == 4


async def test_nothing_is_appended_while_a_roll_is_being_committed(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(0, 5))
    storage.fail("rename", Fault.REFUSED)
    with pytest.raises(StorageUnavailable):
        await history.commit()
    assert history.roll_due()
    with pytest.raises(RuntimeError, match="being committed"):
        await history.append(records(5, 10))
    assert await history.commit() == 5


async def test_recovery_removes_the_buffers_of_a_dead_process(tmp_path: Path) -> None:
    dead = writer(MemoryStorage(), tmp_path, memory_bytes=1)
    other_partition = writer(MemoryStorage(), tmp_path, partition=11, memory_bytes=1)
    for history in (dead, other_partition):
        await history.recover()
        await history.append(records(0, 5))
        await history.append(records(5, 10))
    assert len(list_names(tmp_path)) == 2
    await writer(MemoryStorage(), tmp_path, partition=1).recover()
    assert len(list_names(tmp_path)) == 2
    await writer(MemoryStorage(), tmp_path).recover()
    assert [name.split("+")[1] for name in list_names(tmp_path)] == ["11"]


async def test_a_full_buffer_disk_keeps_what_is_there_and_asks_for_a_roll(tmp_path: Path) -> None:
    storage = MemoryStorage()
    (tmp_path / "in-the-way").write_bytes(b"")
    history = writer(storage, tmp_path / "in-the-way", memory_bytes=1)
    await history.recover()
    await history.append(records(0, 5))
    assert not history.roll_due()
    for _ in range(2):
        with pytest.raises(BufferFull) as caught:
            await history.append(records(5, 10))
        assert caught.value.retriable
    assert history.roll_due()
    assert history.next_offset == 5
    assert await history.commit() == 5
    await history.append(records(5, 10))
    assert await history.commit() == 10
    assert_exactly(storage, 10)


async def test_a_buffer_that_vanished_is_read_from_kafka_again(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path, memory_bytes=1)
    await history.recover()
    await history.append(records(0, 5))
    await history.append(records(5, 10))
    for spilled in (tmp_path / list_names(tmp_path)[0]).glob("*"):
        spilled.unlink()
    with pytest.raises(BufferLost):
        await history.commit()
    assert await history.recover() is None
    await history.append(records(0, 10))
    assert await history.commit() == 10
    assert_exactly(storage, 10)


async def test_data_that_a_reader_has_moved_away_does_not_stop_a_recovery(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = MemoryStorage()
    await drive(storage, tmp_path, 10)
    for path in data_files(storage):
        del storage.files[path]
    with caplog.at_level(logging.WARNING):
        assert await writer(storage, tmp_path).recover() == 10
    assert "moved away, or lost" in caplog.text


async def test_a_file_of_somebody_else_in_the_way_is_told(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(0, 10))
    path = layout.data_path(
        layout.Bucket("catalina", record(0).timestamp // layout.HOUR_MS), TOPIC, 0, 0, 9, "jsonl", "none"
    )
    MemoryStorage(storage).write(path, Body([b"not ours"]))
    with pytest.raises(HistoryDamaged, match="type=catalina"):
        await history.commit()
    del storage.files[path]
    assert await writer(storage, tmp_path).recover() == 10
    assert_exactly(storage, 10)


async def test_a_record_that_cannot_be_read_stops_a_recovery(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await drive(storage, tmp_path, 10)
    for content in (b"", b"{}", b'{"version":2}', b"[]", b"\x00" * 100):
        storage.files[layout.commit_path(TOPIC, 0, 0)] = content
        with pytest.raises(HistoryDamaged, match=r"00000000000000000000\.json"):
            await writer(storage, tmp_path).recover()


async def test_a_loss_is_accepted_once_for_all(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    with pytest.raises(RuntimeError, match="recovery that gave an offset"):
        await history.accept_loss(5, "gone")
    await history.append(records(0, 10))
    await history.commit()
    storage.fail("rename", Fault.ANSWER_LOST)
    with pytest.raises(StorageUnavailable):
        await history.accept_loss(20, "gone")
    assert await history.accept_loss(20, "gone") == 20
    assert await history.accept_loss(15, "gone") == 20
    assert await writer(storage, tmp_path).recover() == 20
    assert len(rows(storage)) == 10


async def test_a_loss_may_be_all_that_a_history_has_of_a_partition(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    assert await history.accept_loss(20, "gone", first=7) == 20
    (record,), _ = CommitLog(storage, TOPIC, 0).all()
    assert (record.key, record.first, record.last, record.lost, record.why) == (0, 7, 19, True, "gone")
    assert abs(record.accepted_at_ms - time.time() * 1000) < 60_000
    other = writer(storage, tmp_path)
    assert await other.recover() == 20
    await other.append(records(20, 30))
    assert await other.commit() == 30
    assert (await verify(storage, TOPIC, deep=True)).well


async def test_a_cancelled_append_took_nothing(tmp_path: Path) -> None:
    storage = MemoryStorage()
    with ThreadPoolExecutor(1) as executor:
        history = writer(storage, tmp_path, executor=executor)
        await history.recover()
        await history.append(records(0, 5))
        task = asyncio.create_task(history.append(records(5, 2000)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert history.next_offset == 5
        await history.append(records(5, 50))
        assert await history.commit() == 50
    assert_exactly(storage, 50)


async def test_the_calls_of_a_commit_stay_few(tmp_path: Path) -> None:
    """Each costs a round trip or two: a roll costs six and, for each of its files, two."""
    storage = MemoryStorage()
    await drive(storage, tmp_path, 200)
    before = len(storage.calls)
    history = writer(storage, tmp_path)
    await history.recover()
    assert len(storage.calls) - before == 2 + 2
    await history.append(records(200, 210))
    await history.commit()
    before = len(storage.calls)
    await history.append(records(210, 220))
    await history.commit()
    assert [call.operation for call in storage.calls[before:]] == [
        "write",  # a file
        "write",  # a file
        "write",  # the commit record
        "entries",  # their sizes
        "rename",  # the commit
        "entries",  # whether it is the newest
        "rename",  # a file
        "rename",  # a file
        "delete",  # the upload's directory
    ]


async def test_the_commit_directory_stays_small_over_thousands_of_rolls(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    most = 0
    for offset in range(1000):
        await history.append([record(offset)])
        await history.commit()
        most = max(most, len(storage.entries(layout.commits_directory(TOPIC, 0))))
    assert most <= 144
    assert len(storage.entries(layout.archive_directory(TOPIC, 0))) <= 8
    assert len(storage.entries(layout.uploads_directory(TOPIC, 0))) == 0
