"""History on a local disk: hard links refuse to replace a file, and everything is synced before it counts."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sinks.history.errors import SinkError, StorageDenied, StorageFull, StorageRefused, StorageUnavailable
from sinks.history.storage import Body, Entry

_CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


class LocalStorage:
    """Files under a local directory, which is made when it is first written to.

    A rename is a hard link and an unlink. A crash in between leaves both names: the next rename of the same two takes
    the old one away. What `write` and `rename` have done survives a power cut, as far as the disk keeps what is synced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def __repr__(self) -> str:
        return f"LocalStorage({str(self._root)!r})"

    def write(self, path: str, body: Body) -> None:
        """Creates a file, synced, and its directories."""
        file_path = self._root / path
        with _translated(path):
            _make_directory(file_path.parent)
            with file_path.open("xb") as file:
                for chunk in body:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            _sync_directory(file_path.parent)

    def rename(self, source: str, target: str) -> None:
        """Links the target to the source's file, then takes the source's name away."""
        source_path, target_path = self._root / source, self._root / target
        with _translated(target):
            try:
                os.link(source_path, target_path)
            except FileExistsError:
                if not _same_file(source_path, target_path):
                    raise
            except OSError as error:
                if error.errno in _NO_LINKS and os.access(target_path.parent, os.W_OK):
                    raise StorageRefused(
                        f"{self._root} does not take hard links ({error.strerror}): put the history on a file system "
                        "that does, ext4, xfs or apfs for example"
                    ) from error
                raise
            _sync_directory(target_path.parent)
            with suppress(FileNotFoundError):  # somebody else has finished this rename
                source_path.unlink()

    def make_directory(self, path: str) -> None:
        """Makes a directory and those above it, synced."""
        with _translated(path):
            _make_directory(self._root / path)

    def entries(self, path: str) -> list[Entry]:
        """What is in a directory."""
        found: list[Entry] = []
        with _translated(path):
            try:
                listing = os.scandir(self._root / path)
            except FileNotFoundError:
                return []
            with listing:
                for item in listing:
                    is_directory = item.is_dir()
                    with suppress(FileNotFoundError):  # gone between the listing and the look at it
                        found.append(Entry(item.name, 0 if is_directory else item.stat().st_size, is_directory))
        return found

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory of that path."""
        with _translated(path):
            try:
                (self._root / path).stat()
            except FileNotFoundError:
                return False
        return True

    def read(self, path: str) -> bytes | None:
        """The content of a file, None where it does not exist."""
        with _translated(path):
            try:
                return (self._root / path).read_bytes()
            except FileNotFoundError:
                return None

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a file in chunks of 1 MiB."""
        with _translated(path), (self._root / path).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def delete(self, path: str) -> None:
        """Removes a file or a tree. Not synced: what a power cut brings back was garbage, and still is."""
        with _translated(path), suppress(FileNotFoundError):
            if (self._root / path).is_dir():
                shutil.rmtree(self._root / path)
            else:
                (self._root / path).unlink()

    def close(self) -> None:
        """Nothing is kept open."""


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except SinkError:
        raise
    except OSError as error:
        message = f"{path}: {error.strerror or error}"
        if error.errno in _FULL:
            raise StorageFull(message) from error
        if error.errno in _DENIED:
            raise StorageDenied(message) from error
        if isinstance(error, FileExistsError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise StorageRefused(message) from error
        raise StorageUnavailable(message) from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


def _make_directory(path: Path) -> None:
    if path.is_dir():
        return
    _make_directory(path.parent)
    path.mkdir(exist_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
