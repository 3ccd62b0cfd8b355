"""The position file, and taking over Flume's."""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sources.tail.flume import flume_entries, matches_glob
from sources.tail.identity import Digest, Fingerprint, digest, fingerprint
from sources.tail.positions import CannotTail, Entry, PositionFile, Saved


@pytest.fixture
def position_file(tmp_path):
    """Makes position files of `tmp_path`; at the end all locks are let go."""
    made = []

    def make():
        made.append(PositionFile(tmp_path, "logs"))
        return made[-1]

    yield make
    for file in made:
        file.close()


def entry(path: str) -> Entry:
    known = Fingerprint(digest(b"some bytes"), digest(b""))
    return Entry("0123456789ab", path, 1, 2, 10, 3, known)


def test_what_is_saved_is_read_again(position_file):
    saved = Saved([entry("/a\udcff\x1b[2J<b>"), entry("/b")], ["/*"], True, False, {0: 5, 3: 0})
    file = position_file()
    assert file.open() == Saved()
    file.save(saved)
    file.close()
    assert position_file().open() == saved


def test_a_save_that_fails_leaves_the_old_one(tmp_path, position_file):
    file = position_file()
    file.open()
    file.save(Saved([entry("/a")]))
    (tmp_path / "logs.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        file.save(Saved())
    file.close()
    assert [each.path for each in position_file().open().entries] == ["/a"]


def test_a_save_that_is_under_way_is_waited_for(tmp_path, position_file, monkeypatch):
    """A source that stops leaves one behind in its thread: neither its last save nor the next process meets it."""
    file, fsync = position_file(), os.fsync
    syncing, go_on = threading.Semaphore(0), threading.Event()

    def slowly(descriptor):
        syncing.release()
        assert go_on.wait(60)
        fsync(descriptor)

    file.open()
    monkeypatch.setattr(os, "fsync", slowly)
    with ThreadPoolExecutor(3) as threads:
        left = threads.submit(file.save, Saved([entry("/left")]))
        assert syncing.acquire(timeout=60)
        last = threads.submit(file.save, Saved([entry("/last")]))
        assert not syncing.acquire(timeout=0.2)
        go_on.set()
        left.result(60)
        last.result(60)
        assert json.loads((tmp_path / "logs.json").read_text())["files"][0]["path"] == "/last"
        go_on.clear()
        while syncing.acquire(blocking=False):
            pass
        left = threads.submit(file.save, Saved([entry("/later")]))
        assert syncing.acquire(timeout=60)
        closing = threads.submit(file.close)
        with pytest.raises(CannotTail, match="another process"):
            position_file().open()
        assert not closing.done()
        go_on.set()
        closing.result(60)
        left.result(60)
    file.save(Saved([entry("/too late")]))
    assert [each.path for each in position_file().open().entries] == ["/later"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "files": [{}]}', "\xff"])
def test_a_damaged_file_is_said_to_be(tmp_path, position_file, text):
    (tmp_path / "logs.json").write_text(text, "latin-1")
    file = position_file()
    with pytest.raises(CannotTail, match=r"logs\.json: is damaged"):
        file.open()
    (tmp_path / "logs.json").unlink()
    assert file.open() == Saved()  # the lock was let go


def test_a_file_is_known_by_what_it_begins_with_and_what_is_before_the_position(tmp_path):
    path: Path = tmp_path / "a"
    path.write_bytes(b"x" * 5_000)
    with path.open("r+b") as file:
        known = fingerprint(file.fileno(), 3_000)
        assert known.fits(file.fileno(), 3_000)
        file.truncate(3_000)
        assert known.fits(file.fileno(), 3_000)
        file.truncate(2_999)
        assert not known.fits(file.fileno(), 3_000)
        file.truncate(0)
        file.write(b"x" * 2_990 + b"y" * 100)
        file.flush()
        assert not known.fits(file.fileno(), 3_000)
        file.seek(0)
        file.write(b"y" + b"x" * 4_000)
        file.flush()
        assert not known.fits(file.fileno(), 3_000)


def test_a_digest_says_how_much_it_is_of():
    assert digest(b"a").n_bytes == 1
    assert digest(b"") == Digest(0, "")


@pytest.mark.parametrize(
    ("path", "pattern", "fits"),
    [
        ("/logs/a.log", "/logs/*.log", True),
        ("/logs/b/a.log", "/logs/*.log", False),
        ("/logs/b/c/a.log", "/logs/**/*.log", True),
        ("/logs/a.log", "/logs/**/*.log", True),
        ("/logs/A.log", "/logs/a.log", False),
        ("/logs/a.log.1", "/logs/a.log", False),
    ],
)
def test_globs(path, pattern, fits):
    assert matches_glob(path, pattern) == fits


def test_only_what_the_globs_match_is_taken_over(tmp_path):
    file = tmp_path / "positions"
    told = [{"pos": 7, "inode": 11, "file": "/logs/a=b.log"}, {"inode": 12, "pos": 0, "file": "/elsewhere/b.log"}]
    file.write_text(json.dumps(told).replace("=", "\\u003d"))
    (found,) = flume_entries(file, ["/logs/*.log"])
    assert (found.path, found.inode, found.position) == ("/logs/a=b.log", 11, 7)


def test_no_position_file_to_import_stops_the_start(tmp_path):
    with pytest.raises(CannotTail, match="import_positions: No such file or directory"):
        flume_entries(tmp_path / "none", ["/*"])
