"""The storage in memory does what every storage does; its faults are what they say."""

from __future__ import annotations

import pytest

from sinks.history.errors import StorageFull, StorageUnavailable
from sinks.history.memory import Fault, MemoryStorage, SimulatedCrash
from sinks.history.storage import Body
from tests.support.history_suites import StorageSuite, WriterSuite


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


class TestStorage(StorageSuite):
    """As any other."""


class TestWriter(WriterSuite):
    """As on any other."""


@pytest.mark.parametrize(
    ("fault", "error", "left"),
    [
        (Fault.REFUSED, StorageUnavailable, None),
        (Fault.ANSWER_LOST, StorageUnavailable, b"content!"),
        (Fault.PARTIAL, StorageUnavailable, b"cont"),
        (Fault.TRUNCATED, None, b"cont"),
        (Fault.FULL, StorageFull, None),
        (Fault.DELAYED, StorageUnavailable, None),
        (Fault.CRASH_BEFORE, SimulatedCrash, None),
        (Fault.CRASH_AFTER, SimulatedCrash, b"content!"),
    ],
)
def test_a_fault_is_what_it_says(
    storage: MemoryStorage, fault: Fault, error: type[Exception] | None, left: bytes | None
) -> None:
    storage.fail("write", fault)
    if error is None:
        storage.write("file", Body([b"content!"]))
    else:
        with pytest.raises(error):
            storage.write("file", Body([b"content!"]))
    assert storage.files.get("file") == left
    storage.release()
    assert storage.files.get("file") == (b"content!" if fault is Fault.DELAYED else left)


def test_a_dead_process_does_nothing_until_it_is_restarted(storage: MemoryStorage) -> None:
    storage.fail(0, Fault.CRASH_AFTER)
    other = MemoryStorage(storage)
    for _ in range(2):
        with pytest.raises(SimulatedCrash):
            storage.write("file", Body([b"x"]))
    assert other.read("file") == b"x"
    storage.restart()
    assert storage.read("file") == b"x"


def test_what_happens_late_may_be_refused_by_then(storage: MemoryStorage) -> None:
    storage.fail("write", Fault.DELAYED)
    with pytest.raises(StorageUnavailable):
        storage.write("file", Body([b"late"]))
    storage.write("file", Body([b"in time"]))
    storage.release()
    assert storage.read("file") == b"in time"
