"""Two and three writers on one partition: one stands still at any call, the others go on, it wakes up again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sinks.errors import SinkError
from sinks.history import commit
from sinks.history.errors import RollAlreadyExists
from sinks.history.memory import Fault, MemoryStorage
from tests.support.history import (
    assert_exactly,
    drive,
    in_another_thread,
    record,
    records,
    rows,
    watch,
    writer,
)
from tests.support.history import (
    commit as commit_patiently,
)

CALLS_OF_TWO_ROLLS = 60  # more than there are; those beyond the end are tried in vain


@pytest.fixture(autouse=True)
def _archive_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that names of commit records become free again while the zombie sleeps."""
    monkeypatch.setattr(commit, "_KEPT", 1)
    monkeypatch.setattr(commit, "_ARCHIVED_AT_ONCE", 1)


async def _only_recover(storage: MemoryStorage, buffer_dir: Path) -> None:
    await writer(MemoryStorage(storage), buffer_dir).recover()


async def _commit_as_much(storage: MemoryStorage, buffer_dir: Path) -> None:
    await drive(MemoryStorage(storage), buffer_dir, 20)


async def _commit_other_ranges(storage: MemoryStorage, buffer_dir: Path) -> None:
    await drive(MemoryStorage(storage), buffer_dir, 21, roll=7)


async def _commit_many(storage: MemoryStorage, buffer_dir: Path) -> None:
    await drive(MemoryStorage(storage), buffer_dir, 60)


async def _upload_and_die(storage: MemoryStorage, buffer_dir: Path) -> None:
    """Recovers, and gets as far as one roll and the upload of the next."""
    view = MemoryStorage(storage)
    successor = writer(view, buffer_dir)
    position = await successor.recover() or 0
    await successor.append(records(position, position + 3))
    position = await commit_patiently(successor)
    await successor.append(records(position, position + 3))
    view.fail("rename", Fault.REFUSED)
    with pytest.raises(SinkError):
        await successor.commit()


SCHEDULES = [_only_recover, _commit_as_much, _commit_other_ranges, _commit_many, _upload_and_die]


async def _write_as_zombie(storage: MemoryStorage, buffer_dir: Path, end: int = 20) -> None:
    """Goes on until somebody else was first; says nothing about how far it came."""
    zombie = writer(storage, buffer_dir)
    try:
        position = await zombie.recover() or 0
        while position < end:
            await zombie.append(records(position, position + 10))
            position = await commit_patiently(zombie)
    except RollAlreadyExists:
        pass


@pytest.mark.parametrize("others", SCHEDULES, ids=lambda schedule: schedule.__name__.strip("_"))
@pytest.mark.parametrize("before", [0, 10], ids=["first_roll", "later_roll"])
async def test_a_writer_that_sleeps_at_any_call(tmp_path: Path, others: Callable[..., object], before: int) -> None:
    woken = 0
    for call in range(CALLS_OF_TWO_ROLLS):
        storage = MemoryStorage()
        watch(storage)
        await drive(MemoryStorage(storage), tmp_path, before)
        asleep = MemoryStorage(storage)

        def meanwhile(number: int, asleep: MemoryStorage = asleep, call: int = call) -> None:
            nonlocal woken
            if number == call:
                woken += 1
                in_another_thread(lambda: others(asleep, tmp_path / "other"))

        asleep.before_call = meanwhile
        await _write_as_zombie(asleep, tmp_path, before + 20)
        await drive(MemoryStorage(storage), tmp_path, 80)
        assert_exactly(storage, 80)
    assert 20 <= woken < CALLS_OF_TWO_ROLLS


@pytest.mark.slow
async def test_two_writers_that_take_turns(tmp_path: Path) -> None:
    """One goes as far as some call, the other as far as another one, the first to its end, the second to its end."""
    for call in range(2, 34):
        for other_call in range(0, 34, 2):
            storage = MemoryStorage()
            watch(storage)
            first, second = MemoryStorage(storage), MemoryStorage(storage)
            second_stands, first_is_done = threading.Event(), threading.Event()

            def stand(
                number: int,
                other_call: int = other_call,
                second_stands: threading.Event = second_stands,
                first_is_done: threading.Event = first_is_done,
            ) -> None:
                if number == other_call:
                    second_stands.set()
                    assert first_is_done.wait(30)

            def run_second(second: MemoryStorage = second, second_stands: threading.Event = second_stands) -> None:
                asyncio.run(_write_as_zombie(second, tmp_path / "second", 30))
                second_stands.set()

            thread = threading.Thread(target=run_second)

            def let_second_run(
                number: int,
                call: int = call,
                thread: threading.Thread = thread,
                second_stands: threading.Event = second_stands,
            ) -> None:
                if number == call:
                    thread.start()
                    assert second_stands.wait(30)

            first.before_call, second.before_call = let_second_run, stand
            await _write_as_zombie(first, tmp_path / "first")
            first_is_done.set()
            if thread.ident is not None:
                thread.join(30)
            await drive(MemoryStorage(storage), tmp_path, 80)
            assert_exactly(storage, 80)


@pytest.mark.slow
@pytest.mark.parametrize("others", [_commit_as_much, _commit_other_ranges, _commit_many], ids=lambda s: s.__name__)
async def test_a_writer_that_sleeps_while_its_successor_sleeps(tmp_path: Path, others: Callable[..., object]) -> None:
    for call in range(30):
        for inner in range(call % 5, 30, 5):
            storage = MemoryStorage()
            watch(storage)
            first, second = MemoryStorage(storage), MemoryStorage(storage)

            def third(number: int, inner: int = inner, second: MemoryStorage = second) -> None:
                if number == inner:
                    in_another_thread(lambda: others(second, tmp_path / "third"))

            def meanwhile(number: int, call: int = call, second: MemoryStorage = second) -> None:
                if number == call:
                    in_another_thread(lambda: _write_as_zombie(second, tmp_path / "second"))

            second.before_call = third
            first.before_call = meanwhile
            await _write_as_zombie(first, tmp_path)
            await drive(MemoryStorage(storage), tmp_path, 80)
            assert_exactly(storage, 80)


@pytest.mark.parametrize("end", [4, 20, 60], ids=["less", "as_much", "archived"])
async def test_first_writers_that_start_at_different_offsets(tmp_path: Path, end: int) -> None:
    """Before the first roll there is no position to agree on, and still only one of them gets its roll."""
    for call in range(20):
        storage = MemoryStorage()
        watch(storage)
        asleep = MemoryStorage(storage)

        async def other(storage: MemoryStorage = storage) -> None:
            await drive(MemoryStorage(storage), tmp_path / "other", end)

        asleep.before_call = lambda number, call=call, other=other: in_another_thread(other) if number == call else None
        zombie = writer(asleep, tmp_path)
        committed_by_zombie = False
        await zombie.recover()
        if zombie.next_offset is None:
            await zombie.append(records(7, 12))  # it was told to start elsewhere
            try:
                await commit_patiently(zombie)
                committed_by_zombie = True
            except RollAlreadyExists:
                pass
        heir = writer(MemoryStorage(storage), tmp_path)
        position = await heir.recover()
        assert position is not None
        await heir.append(records(position, 80))
        await heir.commit()
        offsets = [row["offset"] for row in rows(MemoryStorage(storage))]
        assert offsets[0] == 7 if committed_by_zombie else offsets[0] in (0, 7)
        assert offsets == list(range(offsets[0], 80))


async def test_the_error_names_the_other_writer(tmp_path: Path) -> None:
    storage = MemoryStorage()
    one, other = (writer(MemoryStorage(storage), tmp_path / name) for name in ("one", "other"))
    for history in (one, other):
        await history.recover()
        await history.append(records(0, 5))
    await one.commit()
    with pytest.raises(
        RollAlreadyExists, match=r"raw-log\[0\]: offsets 0 to 4 were committed by another writer \(\S+:\d+\)"
    ):
        await other.commit()
    with pytest.raises(RuntimeError, match="recover"):
        await other.append([record(5)])
    assert await other.recover() == 5


async def test_a_cancelled_commit_goes_on_where_its_thread_still_is(tmp_path: Path) -> None:
    """The thread of the cancelled call is still in the storage when the next commit does the same step."""
    loop = asyncio.get_running_loop()
    for call in range(1, 18):
        storage = MemoryStorage()
        watch(storage)
        with ThreadPoolExecutor(4) as executor:
            history = writer(storage, tmp_path, executor=executor)
            await history.recover()
            await history.append(records(0, 10))
            entered = asyncio.Event()
            go_on = threading.Event()

            def stand_still(
                number: int, call: int = call, entered: asyncio.Event = entered, go_on: threading.Event = go_on
            ) -> None:
                if number == call:
                    loop.call_soon_threadsafe(entered.set)
                    assert go_on.wait(30)

            storage.before_call = stand_still
            first = asyncio.create_task(history.commit())
            reached = asyncio.create_task(entered.wait())
            await asyncio.wait({first, reached}, return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
            await asyncio.wait({first})
            second = asyncio.create_task(history.commit())
            loop.call_later(0.002 * (call % 3), go_on.set)
            assert await second == 10
            go_on.set()
            reached.cancel()
            await history.append(records(10, 20))
            assert await history.commit() == 20
        assert_exactly(storage, 20)
