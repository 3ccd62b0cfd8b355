"""What a history needs of the place where it lies: one Protocol over HDFS, a local disk and memory.

All methods block, may be called from any thread and several at a time, and take paths relative to the root. A method
that raises StorageUnavailable may or may not have happened, now or later: a request that timed out can still be on its
way. Whoever calls must be right in each of these cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from sinks.history.errors import BufferLost

_CHUNK_BYTES = 1 << 20


class Entry(NamedTuple):
    """One name in a directory."""

    name: str
    size: int  # bytes; 0 for a directory
    is_directory: bool


class Segment(NamedTuple):
    """Some bytes of a local file."""

    path: Path
    start: int
    size: int


class Body:
    """The content of a file to write: pieces in memory and in local files. May be read any number of times.

    Raises: BufferLost while it is read, when a local file is gone or too short.
    """

    def __init__(self, pieces: Sequence[bytes | Segment]) -> None:
        self._pieces = tuple(pieces)
        self._size = sum(piece.size if isinstance(piece, Segment) else len(piece) for piece in self._pieces)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Segment):
                yield from _read(piece)
            elif piece:
                yield piece


class Storage(Protocol):
    """A file tree in which a rename is atomic and refuses to replace.

    Raises, each method: StorageUnavailable, StorageDenied, StorageFull.
    """

    def write(self, path: str, body: Body) -> None:
        """Creates a file and makes it durable; missing directories come with it.

        After a failure there may be a file of any length. Raises: StorageRefused where the path is taken; BufferLost.
        """

    def rename(self, source: str, target: str) -> None:
        """Moves a file, durably and atomically.

        Raises: StorageRefused, with nothing changed, where the target exists, or the source or the target's directory
        does not.
        """

    def make_directory(self, path: str) -> None:
        """Makes a directory and those above it; one that is there is fine."""

    def entries(self, path: str) -> list[Entry]:
        """What is in a directory, in no order; nothing where it does not exist."""

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that path."""

    def read(self, path: str) -> bytes | None:
        """The content of a small file, None where it does not exist."""

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file of any size. Raises: StorageRefused where it does not exist."""

    def delete(self, path: str) -> None:
        """Removes a file, or a directory with all that is in it; one that does not exist is fine."""

    def close(self) -> None:
        """Closes connections. No other thread may be using the storage."""


def _read(segment: Segment) -> Iterator[bytes]:
    missing = segment.size
    try:
        with segment.path.open("rb") as file:
            file.seek(segment.start)
            while missing:
                chunk = file.read(min(missing, _CHUNK_BYTES))
                if not chunk:
                    raise BufferLost(f"{segment.path}: {missing} bytes are missing; records are read from Kafka again")
                missing -= len(chunk)
                yield chunk
    except OSError as error:
        raise BufferLost(f"{segment.path}: {error.strerror or error}; records are read from Kafka again") from error
