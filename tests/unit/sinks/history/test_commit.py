"""The commit log where reads come from the past: a NameNode that was replaced, and does not know it yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from sinks.history import layout
from sinks.history.commit import CommitLog
from sinks.history.errors import RollAlreadyExists, SinkError, StorageUnavailable
from sinks.history.memory import Fault, MemoryStorage
from sinks.history.storage import Entry
from tests.support.history import TOPIC, assert_exactly, commit, drive, records, watch, writer


class _Stale(MemoryStorage):
    """Reads show what there was when `past` was set; changes happen to what there is."""

    past: MemoryStorage | None = None

    def entries(self, path: str) -> list[Entry]:
        return super().entries(path) if self.past is None else self.past.entries(path)

    def exists(self, path: str) -> bool:
        return super().exists(path) if self.past is None else self.past.exists(path)

    def read(self, path: str) -> bytes | None:
        return super().read(path) if self.past is None else self.past.read(path)


def _snapshot(storage: MemoryStorage) -> MemoryStorage:
    copy = MemoryStorage()
    copy.files.update(storage.files)
    copy.directories.update(storage.directories)
    return copy


async def test_a_listing_that_does_not_show_the_commit_yet_is_asked_again(tmp_path: Path) -> None:
    storage = _Stale()
    watch(storage)
    await drive(storage, tmp_path, 10)
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(10, 20))
    storage.fail("rename", Fault.REFUSED)
    with pytest.raises(StorageUnavailable):
        await history.commit()  # all is uploaded
    storage.past = _snapshot(storage)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match=r"does not show|nothing is seen"):
            await history.commit()
    storage.past = None
    assert await history.commit() == 20
    assert_exactly(storage, 20)


async def test_a_position_from_the_past_commits_nothing(tmp_path: Path) -> None:
    storage = MemoryStorage()
    watch(storage)
    await drive(storage, tmp_path, 10)
    past = _snapshot(storage)
    await drive(storage, tmp_path, 200)
    behind = _Stale(storage)
    behind.past = past
    history = writer(behind, tmp_path)
    assert await history.recover() == 10
    behind.past = None
    await history.append(records(10, 20))
    with pytest.raises(RollAlreadyExists):
        await commit(history)
    assert await history.recover() == 200
    assert_exactly(storage, 200)


async def test_a_recovery_that_sees_the_past_loses_no_file(tmp_path: Path) -> None:
    """The roll is committed, its files still lie in their upload, and the reads know nothing of either."""
    storage = MemoryStorage()
    watch(storage)
    await drive(storage, tmp_path, 10)
    before = _snapshot(storage)
    dead = MemoryStorage(storage)
    history = writer(dead, tmp_path)
    await history.recover()
    await history.append(records(10, 20))
    dead.fail("make_directory", Fault.REFUSED)
    with pytest.raises(SinkError):
        await history.commit()
    newest = CommitLog(storage, TOPIC, 0).newest()
    assert newest is not None
    assert newest.last == 19
    behind = _Stale(storage)
    behind.past = before
    for file in newest.files:
        CommitLog(behind, TOPIC, 0).complete(file)
    assert not any(storage.exists(file.source) for file in newest.files)
    await drive(storage, tmp_path, 30)
    assert_exactly(storage, 30)


async def test_names_that_are_not_ours_do_not_count(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await drive(storage, tmp_path, 10)
    directory = layout.commits_directory(TOPIC, 0)
    for name in ("99999999999999999999.json.bak", "notes", "1.json"):
        storage.files[f"{directory}/{name}"] = b"?"
    assert await writer(storage, tmp_path).recover() == 10
