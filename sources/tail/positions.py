"""The position file of a tail source: what was read of each file, saved so that a crash leaves the old or the new."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from sources.errors import CannotListen
from sources.tail.identity import NOTHING, UNKNOWN, Digest, Fingerprint

_VERSION = 1


class CannotTail(CannotListen):
    """A source's own files can't be used: the worker does not start; operator: what the message says."""

    reason = "cannot_tail"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(what, why)
        self.args = (f"{what}: {why}",)


@dataclass(slots=True)
class Entry:
    """One file: up to where Kafka has it, and how to recognise it. `id` is of this content: a truncated file gets
    another.
    """

    id: str
    path: str
    device: int
    inode: int
    position: int
    number: int = 0  # pieces sent of the record in which the position lies
    fingerprint: Fingerprint = UNKNOWN
    after: str = ""  # the id of what was at the path before, and is to be read first

    def as_json(self) -> dict[str, Any]:
        """For the position file."""
        return {
            "id": self.id,
            "path": self.path,
            "device": self.device,
            "inode": self.inode,
            "position": self.position,
            "number": self.number,
            "fingerprint": [list(digest) for digest in self.fingerprint],
            "after": self.after,
        }


@dataclass(slots=True)
class Saved:
    """What the position file holds.

    `clean` says that nothing was on its way to Kafka when it was written, and nothing has been sent since. Otherwise
    `ends` has the offsets of raw-log behind which the records may be that are in Kafka, but beyond the positions.
    """

    entries: list[Entry] = field(default_factory=list)
    globs: list[str] = field(default_factory=list)  # that there were before: what they match later is new
    imported: bool = False  # another agent's positions have been taken over: never again
    clean: bool = True
    ends: dict[int, int] = field(default_factory=dict)


class PositionFile:
    """The file of one source, for one process at a time: `open` takes a lock that ends with the process."""

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.json"
        self._lock_path = directory / f"{name}.lock"
        self._lock: IO[bytes] | None = None
        self._saving = threading.Lock()  # a task that is cancelled leaves its save behind, in a thread

    def open(self) -> Saved:
        """Lock it and read it; an empty state where there is none yet. Raises CannotTail."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = self._lock_path.open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise CannotTail(str(self.path), "another process reads this source with the same data directory") from None
        except OSError as error:
            self.close()
            raise CannotTail(str(self.path), error.strerror or str(error)) from error
        try:
            return _read(self.path)
        except FileNotFoundError:
            return Saved()
        except (OSError, ValueError, TypeError, KeyError) as error:
            self.close()
            raise CannotTail(
                str(self.path), f"is damaged ({error}); restore it, or remove it to read every file again"
            ) from error

    def save(self, saved: Saved) -> None:
        """Replace it; it is on disk when this returns. Raises OSError, with the old one in place.

        One after the other, in any threads; once it is closed, and may be another process's, nothing is written.
        """
        with self._saving:
            if self._lock is not None:
                self._replace(saved)

    def close(self) -> None:
        """Let go of the lock; a save that is under way ends first."""
        with self._saving:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _replace(self, saved: Saved) -> None:
        document = {
            "version": _VERSION,
            "clean": saved.clean,
            "imported": saved.imported,
            "ends": saved.ends,
            "globs": saved.globs,
            "files": [entry.as_json() for entry in saved.entries],
        }
        text = json.dumps(document, indent=None, separators=(",", ":")).replace('{"id"', '\n{"id"')
        temporary = self.path.with_suffix(".new")
        with temporary.open("w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _read(path: Path) -> Saved:
    document = json.loads(path.read_text("ascii"))
    if document["version"] != _VERSION:
        raise ValueError(f"version {document['version']} is not known")
    return Saved(
        [_entry(values) for values in document["files"]],
        list(document["globs"]),
        bool(document["imported"]),
        bool(document["clean"]),
        {int(partition): int(end) for partition, end in document["ends"].items()},
    )


def _entry(values: Mapping[str, Any]) -> Entry:
    prefix, before = (Digest(*told) if told[0] else NOTHING for told in values["fingerprint"])
    return Entry(**{**values, "fingerprint": Fingerprint(prefix, before)})
