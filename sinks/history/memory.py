"""A storage in memory that behaves as HDFS does and fails where it is told to: for tests of whoever uses a storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from enum import Enum
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

from sinks.history.errors import StorageFull, StorageRefused, StorageUnavailable
from sinks.history.storage import Body, Entry

T = TypeVar("T")


class Fault(Enum):
    """What happens to one call."""

    REFUSED = "fails, and nothing happened"
    ANSWER_LOST = "happens, and fails"
    PARTIAL = "a write leaves half of the file, and fails; other calls are refused"
    TRUNCATED = "a write leaves half of the file, and answers that all is well; other calls happen"
    FULL = "fails for want of room, and nothing happened"
    DELAYED = "fails, and happens when `release` is called"
    CRASH_BEFORE = "the process dies before it"
    CRASH_AFTER = "the process dies after it"


class SimulatedCrash(Exception):
    """The process is dead: this and every further call until `restart`."""


class Call(NamedTuple):
    """One call of a storage method."""

    operation: str
    path: str


class MemoryStorage:
    """Files in memory, faults on demand. Calls are counted from 0; `fail` sets a one-shot fault at such a number.

    `MemoryStorage(other)` is another process's view of the other one's files, with calls, faults and death of its own.
    `before_call` is called in the caller's thread with each call's number before it happens: a test may let the rest of
    the world go on there while this caller stands still. `after_change` is called after each change, under the lock.
    """

    def __init__(self, other: MemoryStorage | None = None) -> None:
        self.calls: list[Call] = []
        self.files: dict[str, bytes] = other.files if other else {}
        self.directories: set[str] = other.directories if other else {"."}
        self.before_call: Callable[[int], None] | None = None
        self.after_change: Callable[[], None] | None = other.after_change if other else None
        self._faults: dict[int | str, Fault] = {}
        self._delayed: list[Callable[[], object]] = []
        self._dead = False
        self._lock: AbstractContextManager[object] = other._lock if other else threading.RLock()

    def fail(self, call: int | str, fault: Fault) -> None:
        """Sets the fault of a call, given by number, or of the next call of an operation, given by name."""
        self._faults[call] = fault

    def restart(self) -> None:
        """The process that died is started again: calls work."""
        self._dead = False

    def release(self) -> None:
        """Lets everything that was delayed happen now; that some of it is refused by now is in order."""
        delayed, self._delayed = self._delayed, []
        for action in delayed:
            with self._lock, suppress(StorageRefused):
                action()
                if self.after_change is not None:
                    self.after_change()

    def write(self, path: str, body: Body) -> None:
        """Creates a file; directories come with it."""
        content = b"".join(body)

        def act(content: bytes = content) -> None:
            if path in self.files or path in self.directories:
                raise StorageRefused(f"{path} exists")
            self._make_directories(PurePosixPath(path).parent)
            self.files[path] = content

        self._call("write", path, act, partial=lambda: act(content[: len(content) // 2]))

    def rename(self, source: str, target: str) -> None:
        """Moves a file; refuses as HDFS does."""

        def act() -> None:
            if target in self.files or target in self.directories:
                raise StorageRefused(f"{target} exists")
            if source not in self.files:
                raise StorageRefused(f"{source} does not exist")
            if str(PurePosixPath(target).parent) not in self.directories:
                raise StorageRefused(f"the directory of {target} does not exist")
            self.files[target] = self.files.pop(source)

        self._call("rename", target, act)

    def make_directory(self, path: str) -> None:
        """Makes a directory and those above it."""
        self._call("make_directory", path, lambda: self._make_directories(PurePosixPath(path)))

    def entries(self, path: str) -> list[Entry]:
        """What is in a directory."""

        def act() -> list[Entry]:
            inside = [Entry(file, len(content), False) for file, content in self.files.items()]
            inside += [Entry(directory, 0, True) for directory in self.directories if directory != "."]
            return [
                Entry(PurePosixPath(entry.name).name, entry.size, entry.is_directory)
                for entry in inside
                if str(PurePosixPath(entry.name).parent) == path
            ]

        return self._call("entries", path, act)

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that path."""
        return self._call("exists", path, lambda: path in self.files or path in self.directories)

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where it does not exist."""
        return self._call("read", path, lambda: self.files.get(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file, byte by byte: whoever reads it has to put it together."""
        content = self._call("chunks", path, lambda: self.files.get(path))
        if content is None:
            raise StorageRefused(f"{path} does not exist")
        for start in range(len(content)):
            yield content[start : start + 1]

    def delete(self, path: str) -> None:
        """Removes a file or a tree."""

        def act() -> None:
            gone = [name for name in self.files if name == path or name.startswith(f"{path}/")]
            for name in gone:
                del self.files[name]
            self.directories -= {name for name in self.directories if name == path or name.startswith(f"{path}/")}

        self._call("delete", path, act)

    def close(self) -> None:
        """Nothing to close."""

    def _make_directories(self, path: PurePosixPath) -> None:
        above = [str(parent) for parent in (path, *path.parents)]
        for name in above:
            if name in self.files:
                raise StorageRefused(f"{name} is a file")
        self.directories.update(above)

    def _call(self, operation: str, path: str, act: Callable[[], T], partial: Callable[[], T] | None = None) -> T:
        if self.before_call is not None:
            self.before_call(len(self.calls))
        with self._lock:
            number = len(self.calls)
            self.calls.append(Call(operation, path))
            if self._dead:
                raise SimulatedCrash
            fault = self._faults.pop(number, None) or self._faults.pop(operation, None)
            if fault is Fault.CRASH_BEFORE:
                self._die()
            elif fault is Fault.DELAYED:
                self._delayed.append(act)
            elif fault is Fault.PARTIAL and partial is not None:
                partial()
            if fault is Fault.FULL:
                raise StorageFull(f"{operation} {path}: {fault.value}")
            if fault in (Fault.DELAYED, Fault.PARTIAL, Fault.REFUSED):
                raise StorageUnavailable(f"{operation} {path}: {fault.value}")
            result = partial() if fault is Fault.TRUNCATED and partial is not None else act()
            if self.after_change is not None and operation in ("write", "rename", "make_directory", "delete"):
                self.after_change()
            if fault is Fault.CRASH_AFTER:
                self._die()
            if fault is Fault.ANSWER_LOST:
                raise StorageUnavailable(f"{operation} {path}: {fault.value}")
            return result

    def _die(self) -> None:
        self._dead = True
        raise SimulatedCrash
