"""The local storage does what every storage does, and keeps what it says through crashes and odd file systems."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from sinks.history.errors import StorageDenied, StorageFull, StorageRefused, StorageUnavailable
from sinks.history.local import LocalStorage
from sinks.history.storage import Body
from tests.support.history_suites import StorageSuite, WriterSuite


@pytest.fixture
def storage(tmp_path_factory: pytest.TempPathFactory) -> LocalStorage:
    return LocalStorage(tmp_path_factory.mktemp("history") / "root" / "below")


class TestStorage(StorageSuite):
    """As any other."""


class TestWriter(WriterSuite):
    """As on any other."""


def test_a_rename_that_broke_off_between_link_and_unlink_is_finished(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", Body([b"content"]))
    os.link(tmp_path / "a", tmp_path / "b")
    storage.rename("a", "b")
    assert storage.read("b") == b"content"
    assert not storage.exists("a")


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EACCES, StorageDenied),
        (errno.EROFS, StorageDenied),
        (errno.EIO, StorageUnavailable),
        (errno.ESTALE, StorageUnavailable),
    ],
)
def test_errors_of_the_disk_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    storage = LocalStorage(tmp_path)

    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error, match=os.strerror(number)):
        storage.write("a", Body([b"x"]))


def test_a_file_system_without_hard_links_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", Body([b"x"]))

    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StorageRefused, match="does not take hard links"):
        storage.rename("a", "b")


def test_what_counts_is_synced_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and the directories that lead to it, before `write` returns; the target's directory, before `rename`."""
    synced: list[Path] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    storage = LocalStorage(tmp_path / "root")
    storage.write("a/file", Body([b"x"]))
    assert synced == [tmp_path, tmp_path / "root", tmp_path / "root/a/file", tmp_path / "root/a"]
    synced.clear()
    storage.make_directory("b")
    storage.rename("a/file", "b/file")
    assert synced == [tmp_path / "root", tmp_path / "root/b"]
