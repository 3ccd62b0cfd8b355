"""What %t and %{...}t write: Tomcat's own format, epoch numbers, and Java's SimpleDateFormat.

Times are of the response's end unless the argument starts with `begin`. A pattern may spread an instant over several
codes (`%{sec}t.%{msec_frac}t`, `%{yyyy-MM-dd}t %{HH:mm:ss}t`): `compile_instant` says how to put them together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from parsers.escapes import hide_escapes
from parsers.timestamps import clf_ms, epoch_ms, month_number, zone_offset_s

# Between the texts of codes that make up one instant; no decoded line has a lone surrogate.
SEPARATOR: Final = "\ud803"

# Zone names that Java writes for `z`, in seconds east of UTC: those of RFC 822 and of Europe, and Japan's. Others are
# ambiguous (IST, CST outside America) and are refused line by line.
_ZONES_H: Final = {
    "UTC": 0, "GMT": 0, "UT": 0, "Z": 0, "WET": 0, "WEST": 1, "BST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "MSK": 3, "JST": 9, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip


_ESCAPED: Final = {'"': '\\"', "\\": "\\\\", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class TimeCode(NamedTuple):
    """One %t code: what it looks like in a line, and what its text says."""

    begin: bool  # of the request's begin, not of the response's end
    shape: str  # regular expression without groups
    gives: frozenset[str]  # of: instant, second, ms, y, M, d, H, m, s, zone (and h, a: hour of a half day and its half)
    read: Callable[[str], Mapping[str, int]]  # raises ValueError


class Instant(NamedTuple):
    """How to read a record's time: which of the pattern's time codes, and the function of their texts, joined."""

    codes: tuple[int, ...]  # indices among the codes given to compile_instant
    read: Callable[[str], int]  # texts joined by SEPARATOR -> epoch ms; raises ValueError


def compile_time_code(argument: str | None) -> TimeCode:
    """The code %t (argument None) or %{argument}t.

    Raises ValueError for a letter or a repetition of SimpleDateFormat that isn't supported.
    """
    begin = False
    form = argument or ""
    for prefix in ("begin", "end"):
        if form == prefix or form.startswith(prefix + ":"):
            begin = prefix == "begin"
            form = form[len(prefix) + 1 :]
    if not form:
        return TimeCode(
            begin, r"\[[0-9][^\]]{25}\]", frozenset({"instant"}), lambda text: {"instant": clf_ms(text[1:-1])}
        )
    if form == "sec":
        return TimeCode(begin, "[0-9]{1,12}", frozenset({"second"}), lambda text: {"second": int(text)})
    if form == "msec":
        return TimeCode(begin, "[0-9]{1,15}", frozenset({"instant"}), lambda text: {"instant": int(text)})
    if form == "msec_frac":
        return TimeCode(begin, "[0-9]{3}", frozenset({"ms"}), lambda text: {"ms": int(text)})
    return _compile_simple_date_format(form, begin)


def compile_instant(codes: Sequence[TimeCode]) -> Instant | None:
    """How to get a record's time out of a pattern's time codes; None where they don't say date, hour and minute.

    The end of the response is preferred to the begin of the request. Without a zone the time is taken as UTC, without
    seconds or milliseconds those are 0.
    """
    for begin in (False, True):
        chosen = [index for index, code in enumerate(codes) if code.begin is begin]
        for index in chosen:
            if "instant" in codes[index].gives:
                return _instant(codes, (index,))
        useful: list[int] = []
        given: set[str] = set()
        for index in chosen:
            if codes[index].gives - given:
                useful.append(index)
                given |= codes[index].gives
        if "second" in given:
            return _instant(codes, tuple(index for index in useful if codes[index].gives & {"second", "ms"}))
        if given >= {"y", "M", "d", "m"} and ("H" in given or {"h", "a"} <= given):
            return _instant(codes, tuple(useful))
    return None


def _instant(codes: Sequence[TimeCode], chosen: tuple[int, ...]) -> Instant:
    readers = [codes[index].read for index in chosen]

    def read(text: str) -> int:
        found: dict[str, int] = {}
        for reader, part in zip(readers, text.split(SEPARATOR), strict=True):
            found = {**reader(part), **found}
        return _together(found)

    return Instant(chosen, read)


def _together(found: Mapping[str, int]) -> int:
    if "instant" in found:
        return found["instant"]
    ms = found.get("ms", 0)
    if "second" in found:
        return found["second"] * 1000 + ms
    hour = found["H"] if "H" in found else found["h"] % 12 + 12 * found["a"]
    return epoch_ms(found["y"], found["M"], found["d"], hour, found["m"], found.get("s", 0), ms, found.get("zone", 0))


def _compile_simple_date_format(form: str, begin: bool) -> TimeCode:
    shape = ""
    detail = ""
    readers: list[tuple[str, Callable[[str], int]]] = []
    for letter, run in _tokens(form):
        if letter is None:
            literal = re.escape(_as_written(run))
            shape += literal
            detail += literal
            continue
        part, gives, reader = _field(letter, len(run))
        shape += part
        detail += f"({part})"
        readers.append((gives, reader))
    compiled = re.compile(detail, re.ASCII)

    def read(text: str) -> Mapping[str, int]:
        match = compiled.fullmatch(text)
        if match is None:
            raise ValueError(f"not a time of the form {form!r}: {text[:60]!r}")
        return {name: reader(value) for (name, reader), value in zip(readers, match.groups(), strict=True)}

    return TimeCode(begin, shape, frozenset(name for name, _ in readers), read)


def _tokens(form: str) -> list[tuple[str | None, str]]:
    """SimpleDateFormat's runs of one letter, and literal text (letter None) with its quotes undone."""
    tokens: list[tuple[str | None, str]] = []
    for match in re.finditer(r"'((?:[^']|'')*)'|'|([A-Za-z])\2*|[^A-Za-z']+", form):
        letter, run = match.group(2), match.group()
        if run == "'":
            raise ValueError(f"a quote is never closed in the time format {form!r}")
        if run.startswith("'"):
            run = "'" if run == "''" else match.group(1).replace("''", "'")
        tokens.append((letter, run))
    return tokens


def _as_written(text: str) -> str:
    """Text of a time format as it stands in a line: Tomcat escapes it as it escapes values."""
    if text.isascii() and text.isprintable() and not set(text) & {'"', "\\"}:
        return text
    units = text.encode("utf-16-be", "surrogatepass")
    written = ""
    for index in range(0, len(units), 2):
        code = int.from_bytes(units[index : index + 2], "big")
        if chr(code) in _ESCAPED:
            written += _ESCAPED[chr(code)]
        else:
            written += chr(code) if 32 <= code < 127 else f"\\u{code:04x}"
    return hide_escapes(written)


def _field(letter: str, count: int) -> tuple[str, str, Callable[[str], int]]:
    """Shape, what it gives and how to read it, of one run of a letter."""
    digits = "[0-9]{2}" if count >= 2 else "[0-9]{1,2}"
    if letter == "y":
        return ("[0-9]{2}", "y", lambda text: 2000 + int(text)) if count == 2 else ("[0-9]{4}", "y", int)
    if letter in "ML":
        return ("[A-Z][a-z]{2,8}", "M", month_number) if count >= 3 else (digits, "M", int)
    if letter == "H":
        return digits, "H", int
    if letter == "k":  # 1 to 24
        return digits, "H", lambda text: int(text) % 24
    if letter in "hK":
        return digits, "h", int
    if letter in "dms":
        return digits, letter, int
    if letter == "a":
        return "[AaPp][Mm]", "a", lambda text: int(text[0] in "Pp")
    # Tomcat fills in S itself: three of them are three digits, one is the bare number, more would repeat it.
    if letter == "S" and count in (1, 3):
        return ("[0-9]{3}" if count == 3 else "[0-9]{1,3}"), "ms", int
    if letter in "Eu":
        return ("[A-Z][a-z]{2,8}" if letter == "E" else "[1-7]"), "weekday", lambda text: 0
    if letter == "Z":
        return "[+-][0-9]{4}", "zone", zone_offset_s
    if letter == "X" and count <= 3:
        return rf"(?:Z|[+-][0-9]{{2}}{('', '[0-9]{2}', ':[0-9]{2}')[count - 1]})", "zone", zone_offset_s
    if letter == "z" and count <= 3:
        return "[A-Z]{1,5}(?:[+-][0-9]{2}:[0-9]{2})?", "zone", _named_zone_s
    raise ValueError(f"{letter * count!r} in a time format is not supported")


def _named_zone_s(text: str) -> int:
    if text.startswith("GMT") and len(text) > 3:
        return zone_offset_s(text[3:])
    hours = _ZONES_H.get(text)
    if hours is None:
        raise ValueError(f"the time zone {text!r} is not known; use Z or X in the time format")
    return hours * 3600
