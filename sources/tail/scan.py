"""Finds files: what the globs match now, and where an inode has gone that they do not match any more."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

Inode = tuple[int, int]
"""Device and inode number."""


class Seen(NamedTuple):
    """A regular file as a scan found it; `path` may be a symbolic link to it."""

    path: str
    inode: Inode
    size: int
    modified_at_s: float


def scan(globs: Sequence[str], complain: Callable[[str, OSError], None]) -> list[Seen]:
    """Every regular file that the globs match, under each of its names; those last written to come last.

    `complain` is told of names that can't be looked at, other than of those that have just gone.
    """
    found: dict[str, Seen] = {}
    for pattern in globs:
        for path in glob.iglob(pattern, recursive=True):
            if path not in found and (seen := look(path, complain)) is not None:
                found[path] = seen
    return sorted(found.values(), key=lambda seen: (seen.modified_at_s, seen.path))


def look(path: str, complain: Callable[[str, OSError], None]) -> Seen | None:
    """A name, links followed; None where there is no regular file."""
    try:
        told = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        complain(path, error)
        return None
    if not stat.S_ISREG(told.st_mode):
        return None
    return Seen(path, (told.st_dev, told.st_ino), told.st_size, told.st_mtime)


def neighbours(path: str, complain: Callable[[str, OSError], None]) -> Iterable[Seen]:
    """The regular files beside `path`, and beside what it links to, whatever they are called; links are left out."""
    for directory in dict.fromkeys((os.path.dirname(path), os.path.dirname(os.path.realpath(path)))):
        try:
            with os.scandir(directory or ".") as entries:
                names = [entry.path for entry in entries if entry.is_file(follow_symlinks=False)]
        except OSError as error:
            complain(directory, error)
            continue
        for name in names:
            seen = look(name, complain)
            if seen is not None:
                yield seen


def open_file(path: str, inode: Inode) -> int | None:
    """A descriptor of the file if the name still leads to it, else None. Raises OSError."""
    try:
        # Not to block on what has become a pipe since it was looked at.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    told = os.fstat(fd)
    if (told.st_dev, told.st_ino) == inode and stat.S_ISREG(told.st_mode):
        return fd
    os.close(fd)
    return None
