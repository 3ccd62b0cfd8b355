"""A fault at every storage call, a crash between every two of them: each offset comes out in exactly one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.errors import SinkError
from sinks.history import commit, layout
from sinks.history.memory import Fault, MemoryStorage, SimulatedCrash
from sinks.history.storage import Storage
from sinks.history.verify import verify
from tests.support.history import TOPIC, assert_exactly, drive, records, rows, watch, writer

END = 40

FAULTS = [fault for fault in Fault if fault is not Fault.DELAYED]


@pytest.fixture(autouse=True)
def _archive_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the archive is in the calls that fail."""
    monkeypatch.setattr(commit, "_KEPT", 1)
    monkeypatch.setattr(commit, "_ARCHIVED_AT_ONCE", 1)


async def _calls_of_a_clean_run(tmp_path: Path) -> int:
    storage = MemoryStorage()
    await drive(storage, tmp_path, END)
    assert_exactly(storage, END)
    assert any(call.path.startswith("_sluice/archive/") for call in storage.calls)
    return len(storage.calls)


@pytest.mark.parametrize("start_over", [False, True], ids=["same_call_again", "start_over"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
async def test_one_fault_at_each_call(tmp_path: Path, fault: Fault, start_over: bool) -> None:
    calls = await _calls_of_a_clean_run(tmp_path)
    for call in range(calls):
        storage = MemoryStorage()
        watch(storage)
        storage.fail(call, fault)
        try:
            await drive(storage, tmp_path, END, start_over=start_over)
        except SimulatedCrash:
            storage.restart()
            await drive(storage, tmp_path, END, start_over=start_over)
        assert_exactly(storage, END)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Fault.ANSWER_LOST, Fault.ANSWER_LOST),
        (Fault.ANSWER_LOST, Fault.CRASH_BEFORE),
        (Fault.CRASH_AFTER, Fault.ANSWER_LOST),
        (Fault.CRASH_AFTER, Fault.CRASH_BEFORE),
    ],
    ids=lambda fault: fault.name.lower(),
)
async def test_two_faults_in_all_pairs_of_calls(tmp_path: Path, first: Fault, second: Fault) -> None:
    calls = await _calls_of_a_clean_run(tmp_path) // 2  # two rolls: from the third on it is the same again
    for one in range(calls):
        for other in range(one + 1, calls):
            storage = MemoryStorage()
            watch(storage)
            storage.fail(one, first)
            storage.fail(other, second)
            for _ in range(3):
                try:
                    await drive(storage, tmp_path, END // 2)
                    break
                except SimulatedCrash:
                    storage.restart()
            assert_exactly(storage, END // 2)


@pytest.mark.parametrize("start_over", [False, True], ids=["same_call_again", "start_over"])
async def test_a_call_that_timed_out_happens_at_any_later_time(tmp_path: Path, start_over: bool) -> None:
    calls = await _calls_of_a_clean_run(tmp_path) // 2
    for late in range(calls):
        for then in range(late + 1, calls):
            storage = MemoryStorage()
            watch(storage)
            storage.fail(late, Fault.DELAYED)
            storage.before_call = lambda number, storage=storage, then=then: (
                storage.release() if number == then else None
            )
            await drive(storage, tmp_path, END // 2, start_over=start_over)
            storage.release()
            assert_exactly(storage, END // 2)
            await drive(storage, tmp_path, END)
            assert_exactly(storage, END)


async def test_an_upload_that_found_no_room_is_taken_back_at_any_later_time(tmp_path: Path) -> None:
    for late in range(12):
        storage = MemoryStorage()
        watch(storage)
        storage.fail(2, Fault.FULL)
        storage.fail("delete", Fault.DELAYED)

        def release(number: int, storage: MemoryStorage = storage, late: int = late) -> None:
            if number == 4 + late:
                storage.release()

        storage.before_call = release
        await drive(storage, tmp_path, END // 2)
        assert [call.operation for call in storage.calls[:4]] == ["entries", "write", "write", "delete"]
        assert_exactly(storage, END // 2)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
async def test_a_storage_that_fails_at_each_call_in_turn_until_it_works(tmp_path: Path, fault: Fault) -> None:
    storage = MemoryStorage()
    watch(storage)
    for call in range(0, 200, 2):
        storage.fail(call, fault)
    for _ in range(200):
        try:
            await drive(storage, tmp_path, END, patience=300)
            break
        except SimulatedCrash:
            storage.restart()
    assert_exactly(storage, END)


async def test_the_calls_that_are_tried_are_all_there_are(tmp_path: Path) -> None:
    """Every method that a writer uses of a storage, and each area of a history."""
    storage = MemoryStorage()
    await drive(storage, tmp_path, END)
    await drive(storage, tmp_path, END + 10)  # as after a crash: the newest roll is completed first
    methods = {name for name in vars(Storage) if not name.startswith("_")} - {"close", "chunks"}  # chunks: verify's
    assert {call.operation for call in storage.calls} == methods
    renamed = {call.path for call in storage.calls if call.operation == "rename"}
    for area in (layout.DATA, layout.COMMITS, layout.ARCHIVE):
        assert any(path.startswith(f"{area}/") for path in renamed), area
    deleted = {call.path for call in storage.calls if call.operation == "delete"}
    for area in (layout.COMMITS, layout.UPLOADS):
        assert any(path.startswith(f"{area}/") for path in deleted), area


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
async def test_a_fault_at_each_call_of_a_recovery_that_has_a_roll_to_complete(tmp_path: Path, fault: Fault) -> None:
    for call in range(10):  # of the recovery: record, and a look and a rename for each of two files
        storage = MemoryStorage()
        watch(storage)
        await drive(storage, tmp_path, 10)
        dying = MemoryStorage(storage)
        dying.fail("rename", Fault.CRASH_AFTER)  # the commit itself: none of its files is in its place
        with pytest.raises(SimulatedCrash):
            await drive(dying, tmp_path, 20)
        assert not any(path.startswith("data/") and "+00000000000000000019" in path for path in storage.files)
        successor = MemoryStorage(storage)
        successor.fail(call, fault)
        try:
            await drive(successor, tmp_path, 20)
        except SimulatedCrash:
            successor.restart()
            await drive(successor, tmp_path, 20)
        assert_exactly(storage, 20)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.lower())
async def test_a_fault_at_each_call_while_a_gap_is_accepted(tmp_path: Path, fault: Fault) -> None:
    """As `accept-gap` does it: recover, record, and all of it again where that failed."""
    calls, number = 1, 0
    while number < calls:
        storage = MemoryStorage()
        await drive(storage, tmp_path, 10)
        view = MemoryStorage(storage)
        view.fail(number, fault)
        for _ in range(3):
            view.restart()
            history = writer(view, tmp_path)
            try:
                await history.recover()
                assert await history.accept_loss(50, "gone") == 50
                break
            except (SimulatedCrash, SinkError):
                continue
        calls, number = len(view.calls), number + 1
        successor = writer(MemoryStorage(storage), tmp_path)
        assert await successor.recover() == 50
        await successor.append(records(50, 60))
        assert await successor.commit() == 60
        (part,) = (await verify(MemoryStorage(storage), TOPIC, deep=True)).partitions
        assert part.well, part.to_json()
        assert [(loss.first, loss.last) for loss in part.lost] == [(10, 49)]
        assert [row["offset"] for row in rows(MemoryStorage(storage))] == [*range(10), *range(50, 60)]
    assert number > 8


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.CRASH_BEFORE], ids=lambda fault: fault.name.lower())
async def test_verify_tells_the_truth_or_nothing(tmp_path: Path, fault: Fault) -> None:
    storage = MemoryStorage()
    await drive(storage, tmp_path, END)
    before = dict(storage.files)
    clean = MemoryStorage(storage)
    assert (await verify(clean, TOPIC, deep=True)).well
    assert {call.operation for call in clean.calls} <= {"entries", "read", "exists", "chunks"}
    for call in range(len(clean.calls)):
        view = MemoryStorage(storage)
        view.fail(call, fault)
        with pytest.raises((SinkError, SimulatedCrash)):
            await verify(view, TOPIC, deep=True)
    assert storage.files == before


async def test_what_is_not_data_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rolls for each record that may stay: old ones are in the archive, uploads are gone, the position is right."""
    monkeypatch.setattr(commit, "_KEPT", 4)
    monkeypatch.setattr(commit, "_ARCHIVED_AT_ONCE", 16)
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    most = 0
    for offset in range(45):
        await history.append(records(offset, offset + 1))
        await history.commit()
        most = max(most, len(storage.entries(layout.commits_directory(TOPIC, 0))))
        assert storage.entries(layout.uploads_directory(TOPIC, 0)) == []
    assert most == 19  # the twentieth sends sixteen to the archive
    assert len(storage.entries(layout.archive_directory(TOPIC, 0))) == 2
    assert await writer(storage, tmp_path).recover() == 45
    assert (await verify(storage, TOPIC, deep=True)).well
    assert_exactly(storage, 45)
