"""Records, writers and readers for the tests of the history."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sinks.errors import SinkError
from sinks.history import layout
from sinks.history.codec import decompress, lines
from sinks.history.memory import MemoryStorage
from sinks.history.storage import Storage
from sinks.history.writer import PartitionWriter, WriterOptions

TOPIC = "raw-log"
NOON_MS = 1_763_726_400_000  # 2025-11-21 12:00 UTC


class FakeRecord(NamedTuple):
    """What history reads of a ConsumerRecord."""

    offset: int
    value: bytes | None = b"line"
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int = NOON_MS


class InlineExecutor(Executor):
    """Runs a call where it is submitted: calls come in one order, whatever the machine does."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def record(offset: int, kind: str | None = None) -> FakeRecord:
    """A record whose content says which one it is; of two types in turn."""
    kind = kind or ("access_log" if offset % 2 else "catalina")
    return FakeRecord(offset, b"line %d" % offset, (("type", kind.encode()), ("host", b"web-1")), NOON_MS + offset)


def records(first: int, end: int) -> list[FakeRecord]:
    """One record for each offset."""
    return [record(offset) for offset in range(first, end)]


def options(buffer_dir: Path, **changes: Any) -> WriterOptions:
    """Plain files, one storage call at a time, unless told otherwise."""
    chosen: dict[str, Any] = {
        "format": "jsonl",
        "compression": "none",
        "roll_bytes": 1 << 27,
        "roll_interval_s": 60.0,
        "buffer_dir": buffer_dir,
        "parallel": 1,
    }
    return WriterOptions(**{**chosen, **changes})


def writer(storage: Storage, buffer_dir: Path, partition: int = 0, **changes: Any) -> PartitionWriter:
    """A writer that does its calls where it stands, on a clock that stands still."""
    clock = changes.pop("clock", lambda: 0.0)
    executor = changes.pop("executor", InlineExecutor())
    return PartitionWriter(TOPIC, partition, storage, options(buffer_dir, **changes), executor, clock)


async def drive(
    storage: Storage, buffer_dir: Path, end: int, roll: int = 10, patience: int = 20, start_over: bool = False
) -> None:
    """What an agent does: recover, append and commit in rolls up to an offset.

    After a retriable error it commits again, or drops everything and recovers (`start_over`), as after a fatal one.
    """
    history = writer(storage, buffer_dir)
    for _ in range(patience):
        try:
            position = await history.recover() or 0
            while position < end:
                until = min(position - position % roll + roll, end)
                middle = (position + until) // 2
                await history.append(records(position, middle))
                await history.append(records(middle, until))
                position = await commit(history, 1 if start_over else patience)
            return
        except SinkError:
            continue
    raise AssertionError("the history did not come through")


async def commit(history: PartitionWriter, patience: int = 20) -> int:
    """Commits, again and again while that may help."""
    for attempt in range(patience):
        try:
            position = await history.commit()
            assert position is not None
            return position
        except SinkError as error:
            if not error.retriable or attempt + 1 == patience:
                raise
    raise AssertionError


def in_another_thread(function: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Runs a coroutine to its end while the caller's event loop stands still: another process, so to speak."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(function())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def list_names(directory: Path) -> list[str]:
    """What is in a local directory."""
    return sorted(path.name for path in directory.iterdir())


def data_files(storage: Storage, directory: str = layout.DATA) -> list[str]:
    """Paths of all files under data/."""
    found: list[str] = []
    for entry in storage.entries(directory):
        path = f"{directory}/{entry.name}"
        found += data_files(storage, path) if entry.is_directory else [path]
    return sorted(found)


def rows(storage: Storage, partition: int = 0) -> list[dict[str, Any]]:
    """All rows of a partition's jsonl files, in offset order; checks that each lies where its name says."""
    found: list[dict[str, Any]] = []
    for path in data_files(storage):
        file = layout.parse_data_path(path)
        assert file is not None, path
        if file.partition != partition:
            continue
        mine = [orjson.loads(line) for line in lines(decompress(storage.chunks(path), file.compression))]
        offsets = [row["offset"] for row in mine]
        assert offsets == sorted(set(offsets)), path
        assert offsets, path
        assert file.first <= offsets[0], path
        assert offsets[-1] <= file.last, path
        assert {row["ts"] // layout.HOUR_MS for row in mine} == {file.bucket.hour}, path
        found += mine
    return sorted(found, key=lambda row: int(row["offset"]))


def assert_exactly(storage: Storage, end: int) -> None:
    """Each offset is in exactly one file, with the content it had, and rolls follow on one another."""
    if isinstance(storage, MemoryStorage):
        storage = MemoryStorage(storage)  # without the faults that are set
    found = rows(storage)
    assert [row["offset"] for row in found] == list(range(end))
    for row in found:
        offset = row["offset"]
        assert row["body"] == f"line {offset}"
        assert row["headers"]["type"] == ("access_log" if offset % 2 else "catalina")
    ranges = {(file.first, file.last) for path in data_files(storage) if (file := layout.parse_data_path(path))}
    expected = 0
    for first, last in sorted(ranges):
        assert first == expected
        expected = last + 1
    assert expected == end


def watch(storage: MemoryStorage) -> None:
    """From now on, whatever is under data/ must stay as it first appeared."""
    seen: dict[str, bytes] = {}

    def check() -> None:
        for path, content in seen.items():
            assert storage.files.get(path) == content, f"{path} changed"
        for path, content in storage.files.items():
            if path.startswith("data/"):
                seen.setdefault(path, content)

    storage.after_change = check
