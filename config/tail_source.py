"""One `[[source]]` table of kind `tail`: log files, read as they grow."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.source import COMMON_KEYS, SourceCommon, read_common
from config.toml_table import Table, kind_of
from config.wording import quoted

CATALINA = "catalina"

_KEYS = ("paths", "start", "multiline", "quiet_s", "rotated_s", "max_open_files", "import_positions")
_STARTS: tuple[Literal["beginning", "end"], ...] = ("beginning", "end")
_OWN_HEADER = "tail"


@dataclass(frozen=True, slots=True)
class TailSource:
    """The files that `paths` match, globs in which `**` stands for any directories.

    `multiline` is None for a record a line, `catalina`, or a regular expression that a record's first line begins with.
    A record of several lines is over when the next one starts, or after `quiet_s` without growth. A file that no glob
    matches any more is watched until it has not grown for `rotated_s`.
    """

    common: SourceCommon
    paths: tuple[str, ...]
    start: Literal["beginning", "end"]
    multiline: str | None
    quiet_s: float
    rotated_s: float
    max_open_files: int
    import_positions: Path | None


def read_tail_source(table: Table) -> TailSource | None:
    """Read one table; None where it cannot be used, with all that is wrong noted."""
    table.allow((*COMMON_KEYS, *_KEYS))
    common = read_common(table)
    if common is not None and _OWN_HEADER in common.headers:
        table.wrong(f"{quoted(_OWN_HEADER)} is what Sluice itself knows its records by", "headers", _OWN_HEADER)
        common = None
    paths = table.texts("paths") if table.has("paths") else None
    if paths == ():
        table.wrong("is empty: nothing would be read", "paths")
    for index, path in enumerate(paths or ()):
        if "\0" in path or path.endswith("/"):
            table.wrong(f"{quoted(path)} names no files", "paths", index)
            paths = None
    start = table.choice("start", _STARTS) if "start" in table.values else "beginning"
    multiline, multiline_is_good = _multiline(table)
    quiet_s = _number(table, "quiet_s", 3.0, 0.1, 3_600)
    rotated_s = _number(table, "rotated_s", 300.0, 1, 86_400)
    max_open = _number(table, "max_open_files", 256, 16, 100_000)
    positions = table.text("import_positions")
    if common is None or not paths or start is None or not multiline_is_good:
        return None
    if quiet_s is None or rotated_s is None or max_open is None:
        return None
    if positions is None and "import_positions" in table.values:
        return None
    return TailSource(
        common, paths, start, multiline, quiet_s, rotated_s, int(max_open), Path(positions) if positions else None
    )


def _multiline(table: Table) -> tuple[str | None, bool]:
    """The value, and whether it is good."""
    if "multiline" not in table.values:
        return None, True
    text = table.text("multiline")
    if text is None or text in ("none", CATALINA):
        return (text if text == CATALINA else None), text is not None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a set that looks nested is the operator's business
            pattern = re.compile(text.encode())
    except (re.error, OverflowError, RecursionError) as error:
        table.wrong(f'must be "none", "catalina" or a regular expression: {error}', "multiline")
        return None, False
    if pattern.match(b""):
        table.wrong(f"{quoted(text)} fits every line, also an empty one; leave it out for a record a line", "multiline")
        return None, False
    return text, True


def _number(table: Table, key: str, default: float, least: float, most: float) -> float | None:
    value = table.values.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        table.wrong(f"must be a number, not {kind_of(value)} {quoted(value)}", key)
        return None
    if not least <= value <= most or (isinstance(default, int) and value != int(value)):
        whole = "a whole number" if isinstance(default, int) else "a number"
        table.wrong(f"{value} is not {whole} from {least:g} to {most:g}", key)
        return None
    return value
