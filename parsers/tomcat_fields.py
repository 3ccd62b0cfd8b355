"""What each code of a Tomcat access log pattern looks like in a line, and which part of the record it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from parsers.tomcat_dates import Instant, TimeCode, compile_instant, compile_time_code
from parsers.tomcat_pattern import Code, refuse

# How far a field reaches: its own shape tells (fixed), digits or '-' (number), up to a blank (word), up to whatever
# follows it in the pattern (text); the request line and the query string come in parts of their own.
Extent = Literal["fixed", "number", "word", "text", "request", "query"]

# The parts of a record, in the order in which the groups of a line's regular expression are read. `request` is the
# request line where it isn't of the usual three parts; otherwise those four are filled and it is not.
ROLES: Final = (
    "client", "user", "time", "method", "path", "query", "protocol", "request", "status", "bytes", "referer",
    "user_agent", "duration",
)  # fmt: skip

# 18 digits: a larger number is no count of bytes and no duration, and would not fit 64 bits.
_NUMBER: Final = "[0-9]{1,18}|-"
_STATUS: Final = "[0-9]{1,9}|-"
_TIME_TAKEN: Final = r"-?[0-9]{1,18}(?:\.[0-9]{1,9})?"


class Field(NamedTuple):
    """One code as it is looked for in a line."""

    code: Code
    extent: Extent
    shape: str = ""  # regular expression without groups, for fixed and number
    peek: str | None = None  # bounded expression that tells that the field begins here; None: nothing tells
    opens: str = ""  # the one character that it always begins with, if there is one
    escapes_quotes: bool = True  # Tomcat escapes the quotes in it, in every release that the pattern is read for
    role: str | None = None  # of ROLES, or "time part" where several codes make up the time; None: matched, not kept
    forwarded: bool = False  # an X-Forwarded-For header that gives the client


class Fields(NamedTuple):
    """The fields of a pattern, and how to read the values of some."""

    all: list[Field]
    instant: Instant | None  # how the time is read; None: the pattern doesn't give it
    units_per_ms: float  # how many units of the duration's code are a millisecond; below 1 for seconds


def describe_fields(codes: Sequence[Code], tomcat: float) -> Fields:
    """What each code of a pattern looks like and gives.

    Raises ValueError for a time format that isn't supported.
    """
    times: dict[int, TimeCode] = {}
    for index, code in enumerate(codes):
        if code.letter == "t":
            try:
                times[index] = compile_time_code(code.argument)
            except ValueError as error:
                refuse(code, str(error))
    instant = compile_instant(list(times.values()))
    roles, units_per_ms = _roles(codes, tomcat)
    if instant is not None:
        chosen = [list(times)[place] for place in instant.codes]
        roles |= dict.fromkeys(chosen, "time" if len(chosen) == 1 else "time part")
    described = [_describe(code, roles.get(index), times.get(index), tomcat) for index, code in enumerate(codes)]
    return Fields(described, instant, units_per_ms)


def _roles(codes: Sequence[Code], tomcat: float) -> tuple[dict[int, str], float]:
    """Which code gives which part of the record: of several that could, the first in order of preference."""
    wanted: list[tuple[str, list[tuple[str, str | None]]]] = [
        ("client", [("h", None), ("a", None), ("a", "remote"), ("a", "peer"), ("i", "x-forwarded-for")]),
        ("user", [("u", None)]),
        ("request", [("r", None)]),
        ("status", [("s", None)]),
        ("bytes", [("b", None), ("B", None)]),
        ("referer", [("i", "referer")]),
        ("user_agent", [("i", "user-agent")]),
    ]
    present = {(code.letter, _name(code)): index for index, code in reversed(list(enumerate(codes)))}
    if ("r", None) not in present:
        wanted += [("method", [("m", None)]), ("path", [("U", None)])]
        wanted += [("query", [("q", None)]), ("protocol", [("H", None)])]
    roles: dict[int, str] = {}
    for role, candidates in wanted:
        found = next((present[candidate] for candidate in candidates if candidate in present), None)
        if found is not None:
            roles[found] = role
    for key, units_per_ms in _duration_codes(tomcat):  # the finest unit first
        if key in present:
            roles[present[key]] = "duration"
            return roles, units_per_ms
    return roles, 1.0


def _duration_codes(tomcat: float) -> list[tuple[tuple[str, str | None], float]]:
    micros, millis, seconds = 1e3, 1.0, 1e-3
    return [
        (("T", "ns"), 1e6),
        (("T", "us"), micros),
        (("D", None), micros if tomcat >= 10 else millis),
        (("T", "ms"), millis),
        (("T", "fracsec"), seconds),
        (("T", None), seconds),
        (("T", "s"), seconds),
    ]


def _name(code: Code) -> str | None:
    """The code's argument; header names are the same in any case."""
    return code.argument.lower() if code.argument is not None and code.letter in "io" else code.argument


def _describe(code: Code, role: str | None, time: TimeCode | None, tomcat: float) -> Field:
    letter = code.letter
    if time is not None:
        opens = "[" if time.shape.startswith(r"\[") and "instant" in time.gives else ""
        return Field(code, "fixed", time.shape, time.shape, opens, role=role)
    if letter == "r" and code.argument is None:
        return Field(code, "request", escapes_quotes=False, role=role)
    if letter == "q":
        return Field(code, "query", escapes_quotes=False, role=role)
    if letter in "DT":
        return Field(code, "number", _TIME_TAKEN, _TIME_TAKEN, role=role)
    if letter == "s" and code.argument is None:
        return Field(code, "number", _STATUS, f"(?:{_STATUS})", role=role)
    if letter in "bBFp":
        return Field(code, "number", _NUMBER, f"(?:{_NUMBER})", role=role)
    if letter == "X":
        return Field(code, "fixed", "[X+?-]", "[X+?-]", role=role)
    if letter == "l":
        return Field(code, "word", peek="- ", role=role)
    if letter == "H":
        return Field(code, "word", peek="HTTP/", role=role)
    if letter in "haAvSmL":
        return Field(code, "word", role=role)
    # Left are %u, %U, %I and everything named: free text. Releases of 8.5 escaped nothing, those of 10.1 not %U.
    return Field(
        code, "text", escapes_quotes=tomcat >= 9 and letter != "U", role=role,
        forwarded=role == "client",
    )  # fmt: skip
