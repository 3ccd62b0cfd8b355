"""The spool's database: what it has returned for is there after whatever ends its process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from parsers.event import Event
from sources.errors import SpoolUnusable
from sources.spool.entry import encode
from sources.spool.store import Held, New, SpoolStore

ROOT = Path(__file__).parents[4]
MINUTE_MS = 60_000


@pytest.fixture
def open_store(tmp_path):
    opened = []

    def open_store():
        for store in opened:
            store.close()
        opened[:] = [SpoolStore(tmp_path / "data" / "spool", 5)]
        return opened[0]

    yield open_store
    for store in opened:
        store.close()


def new(number, source="http", at_ms=1000, size=10):
    body = b"%d" % number
    return New(source, 1, encode(source, [Event({"host": "a"}, body.ljust(size))], at_ms))


def bodies(store, max_bytes=1 << 20, within_ms=MINUTE_MS):
    return [int(stored.entry.events[0].body) for stored in store.read(max_bytes, within_ms)]


def test_first_in_first_out_over_restarts(open_store):
    store = open_store()
    assert (store.first, store.next, store.held, store.oldest_at_ms) == (0, 0, {}, None)
    store.append([new(0, at_ms=7), new(1, "syslog", at_ms=8)])
    store.append([new(2, at_ms=9)])
    store = open_store()
    assert bodies(store) == [0, 1, 2]
    assert store.oldest_at_ms == 7
    one = len(new(0).stored)
    assert store.held == {"http": Held(2, 2 * one), "syslog": Held(1, one + 2)}
    store.remove(store.read(1, MINUTE_MS))
    assert store.oldest_at_ms == 8
    store = open_store()
    assert bodies(store) == [1, 2]
    assert store.oldest_at_ms == 8
    assert store.n_bytes == 2 * one + 2
    store.append([new(3)])
    store.remove(store.read(1 << 20, MINUTE_MS))
    assert (store.held, store.n_bytes, store.oldest_at_ms, store.first) == ({}, 0, None, store.next)
    store = open_store()
    assert bodies(store) == []
    assert store.held == {}
    store.append([new(4)])
    assert bodies(store) == [4]


def test_a_chunk_is_bounded_and_of_one_time(open_store):
    store = open_store()
    store.append([new(number, size=1000, at_ms=1000 + number) for number in range(10)])
    assert bodies(store, max_bytes=3500) == [0, 1, 2]
    assert bodies(store, max_bytes=1) == [0]
    assert bodies(store, within_ms=4) == [0, 1, 2, 3, 4]


def test_another_process_has_it_open(open_store, tmp_path):
    open_store()
    with pytest.raises(SpoolUnusable, match="another process has it open"):
        SpoolStore(tmp_path / "data" / "spool", 5)


def test_a_folder_that_cannot_be_had(tmp_path):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SpoolUnusable, match="SLUICE_DATA_DIR"):
        SpoolStore(tmp_path / "data" / "spool", 5)


def test_a_database_that_is_damaged_is_set_aside_and_told(tmp_path, caplog):
    folder = tmp_path / "data" / "spool"
    store = SpoolStore(folder, 5)
    store.append([new(0)])
    store.close()
    for manifest in folder.glob("MANIFEST-*"):
        manifest.write_bytes(b"nonsense")
    again = SpoolStore(folder, 77)
    assert (again.first, again.next) == (0, 0)
    again.close()
    assert (tmp_path / "data" / "spool.broken-77").is_dir()
    assert "events that may be in no other place" in caplog.text


WRITER = """
import os, sys
from pathlib import Path
from parsers.event import Event
from sources.spool.entry import encode
from sources.spool.store import New, SpoolStore
store = SpoolStore(Path(sys.argv[1]), 1)
number = store.next
while True:
    group = range(number, number + 1 + number % 5)
    store.append([New("http", 1, encode("http", [Event({}, b"%d" % n + b" " * 300)], 1)) for n in group])
    number = group.stop
    os.write(1, b"%d\\n" % number)  # acknowledged: all below
"""


def killed_writer(folder, acknowledged_at_least):
    """Let a process write until it has acknowledged so many, then SIGKILL it; how many it had acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ}
    )
    assert process.stdout is not None
    last = 0
    while last < acknowledged_at_least:
        line = process.stdout.readline()
        assert line, "the writer ended by itself"
        last = int(line)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines()
    process.wait(30)
    process.stdout.close()
    return int(rest[-1]) if rest else last


def test_a_killed_process_leaves_all_that_it_acknowledged_in_order(tmp_path):
    folder = tmp_path / "spool"
    for goal in (50, 400, 1000):
        acknowledged = killed_writer(folder, goal)
        store = SpoolStore(folder, 1)
        found = [int(stored.entry.events[0].body) for stored in store.read(1 << 30, MINUTE_MS)]
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged
        assert store.held["http"].events == len(found)
        store.close()


def test_a_torn_tail_takes_only_the_torn_write_along(tmp_path):
    """Each cut of the newest log: a prefix of whole writes is left, and the store goes on from there."""
    folder = tmp_path / "spool"
    sizes = []
    store = SpoolStore(folder, 1)
    for group in range(6):
        store.append([new(2 * group, size=200), new(2 * group + 1, size=200)])
        (log,) = folder.glob("*.log")
        sizes.append(log.stat().st_size)
    whole = log.read_bytes()
    torn = [(cut, whole[:cut]) for cut in (sizes[-1] - 1, sizes[-2] + 1, sizes[3] + 100, sizes[2])]
    torn.append((sizes[-2], whole[: sizes[-2] + 40] + b"\xff" * 30 + whole[sizes[-2] + 70 :]))
    store.close()
    for number, (cut, content) in enumerate(torn):
        copy = tmp_path / f"copy-{number}"
        _as_killed(folder, copy, log.name, content)
        again = SpoolStore(copy, 1)
        found = bodies(again)
        acknowledged = 2 * sum(size <= cut for size in sizes)
        assert found == list(range(acknowledged))
        assert again.held["http"].events == len(found)
        again.append([new(99)])
        assert bodies(again)[-1] == 99
        again.close()
        again = SpoolStore(copy, 1)
        assert bodies(again) == [*range(acknowledged), 99]
        again.close()


def _as_killed(folder, copy, log_name, log):
    """What a process that was killed leaves: a database that was opened and only has its log."""
    empty = SpoolStore(copy, 1)
    (own,) = copy.glob("*.log")
    own_bytes = own.read_bytes()
    files = {path.name: path.read_bytes() for path in copy.iterdir()}
    assert own_bytes == b""
    assert own.name == log_name
    empty.close()
    for path in copy.iterdir():
        path.unlink()
    for name, content in files.items():
        (copy / name).write_bytes(log if name == log_name else content)
