"""A fault at every storage call, a crash between every two of them: each offset comes out in exactly one file."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.history import commit
from sinks.history.memory import Fault, MemoryStorage, SimulatedCrash
from tests.support.history import assert_exactly, drive, watch

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
