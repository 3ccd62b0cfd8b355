"""Positions of Flume's taildir source, taken over once, so that a migration neither repeats nor skips."""

from __future__ import annotations

import fnmatch
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from sources.tail.positions import CannotTail, Entry


def flume_entries(path: Path, globs: Sequence[str]) -> list[Entry]:
    """An entry for each file of a taildir position file that the globs match, its device not known yet (0).

    Flume stops wherever it was last acknowledged, always behind a line, but for what an idle file ended with.
    Raises CannotTail where the file can't be read: going on without it would read everything again.
    """
    try:
        told = json.loads(path.read_text("utf-8", "surrogateescape"))
        if not isinstance(told, list):
            raise ValueError("it is no array")
        entries = []
        for each in told:
            file, inode, position = each["file"], each["inode"], each["pos"]
            if not isinstance(file, str) or type(inode) is not int or type(position) is not int or position < 0:
                raise ValueError(f"{each!r:.200} is no position")
            if any(matches_glob(file, pattern) for pattern in globs):
                entries.append(Entry(new_id(), file, 0, inode, position))
    except OSError as error:
        raise CannotTail(str(path), f"import_positions: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise CannotTail(str(path), f"import_positions: is not a taildir position file: {error!r:.200}") from error
    return entries


def new_id() -> str:
    """The id of a file's content: 12 hexadecimal digits by chance."""
    return uuid.uuid4().hex[:12]


def matches_glob(file: str, pattern: str) -> bool:
    """Whether a path fits a glob. As `glob` does it: `*` stays within a name, `**` does not."""
    names, wanted = os.path.abspath(file).split("/"), os.path.abspath(pattern).split("/")
    return _names_match(names, wanted)


def _names_match(names: list[str], wanted: list[str]) -> bool:
    if not wanted:
        return not names
    if wanted[0] == "**":
        return any(_names_match(names[taken:], wanted[1:]) for taken in range(len(names) + 1))
    return bool(names) and fnmatch.fnmatchcase(names[0], wanted[0]) and _names_match(names[1:], wanted[1:])
