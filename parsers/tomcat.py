"""Tomcat access log lines to records, by the pattern that Tomcat wrote them with, and records to JSON.

This is the hot path: a line costs one search for a backslash, one regular expression match and one tuple. Measured
alternatives are in docs/decisions/0003-parsing-access-lines.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import orjson

from parsers.errors import ParseError
from parsers.escapes import hide_escapes, replace_surrogates, show_escapes, undo_escapes
from parsers.timestamps import StampCache
from parsers.tomcat_dates import SEPARATOR
from parsers.tomcat_regex import compile_line

# What is wrong with a line that is refused; the reasons of the ParseErrors raised here.
NO_PATTERN_MATCHES: Final = "no_pattern_matches"
BAD_TIMESTAMP: Final = "bad_timestamp"

_STATUS: Final[dict[str, int | None]] = {**{str(status): status for status in range(100, 600)}, "-": None}
_ABSENT: Final = ("-", "null", "", None)  # method and protocol of codes of their own: `null` without a request line
_SHOWN_CHARACTERS: Final = 200  # of a refused line in the error's message


class AccessRecord(NamedTuple):
    """One request as the access log tells it; None where the line says `-` or the pattern doesn't carry it."""

    ts: int | None  # epoch ms; None where the pattern doesn't give date and time
    client: str | None
    user: str | None
    method: str | None
    path: str | None
    query: str | None  # without its '?'; empty for a bare '?'
    protocol: str | None
    status: int | None
    bytes: int  # 0 for '-', and where the pattern doesn't carry it
    duration_ms: float | None  # never negative: a clock that was set back gives 0
    referer: str | None
    user_agent: str | None


class AccessPattern:
    """Parses the lines of one pattern. Holds no state but a bounded cache of timestamps."""

    def __init__(self, pattern: str, tomcat: float) -> None:
        line = compile_line(pattern, tomcat)
        self.pattern = pattern
        self.match: Final = line.regex.match
        self.ends: Final = line.ends
        self._order = line.order
        self._apart = not line.has_request_line
        self._time_groups = line.time_groups
        self._per_ms = line.units_per_ms
        self._stamps = None if line.instant is None else StampCache(line.instant.read)
        self._known_stamps = {} if self._stamps is None else self._stamps.known

    def parse(self, line: bytes) -> AccessRecord:
        """The record of a whole line.

        Raises ParseError (`no_pattern_matches`, `bad_timestamp`) for a line that isn't of the pattern from its first
        byte to its last, line end and trailing blanks apart.
        """
        text, has_escapes = _decode(line)
        match = self.match(text)
        if match is None:
            raise _no_match(text)
        return self.record(match, has_escapes)

    def record(self, match: re.Match[str], has_escapes: bool) -> AccessRecord:
        """The record of a line that `match` has matched. Raises ParseError (`bad_timestamp`)."""
        groups = match.groups() if self._order is None else match.group(*self._order)
        client, user, time, method, path, query, protocol, request, status, size, referer, agent, duration = groups
        ts: int | None = self._known_stamps.get(time)
        if ts is None and self._stamps is not None:
            ts = self._read_time(match, time)
        if request is not None:
            method, path, query, protocol = _split_request(request)
        elif self._apart:
            method = None if method in _ABSENT else method
            protocol = None if protocol in _ABSENT else protocol
        if has_escapes:
            client, user, method, path, query, protocol, referer, agent = [
                value if value is None else undo_escapes(value)
                for value in (client, user, method, path, query, protocol, referer, agent)
            ]
        try:
            code = _STATUS[status]
        except KeyError:
            code = None if status is None else int(status)
        return _new_record(
            AccessRecord,
            (
                ts,
                None if client == "-" else client or None,
                None if user == "-" else user or None,
                method,
                None if path == "-" else path or None,
                query,
                protocol,
                code,
                0 if size == "-" or size is None else int(size),
                None if duration is None else _duration_ms(duration, self._per_ms),
                None if referer == "-" else referer or None,
                None if agent == "-" else agent or None,
            ),
        )

    def _read_time(self, match: re.Match[str], time: str | None) -> int:
        assert self._stamps is not None
        if time is None:
            time = SEPARATOR.join(match.group(number) for number in self._time_groups)
        try:
            return self._stamps(time)
        except ValueError as error:
            raise ParseError(BAD_TIMESTAMP, str(error)) from None


class AccessParser:
    """Parses lines that are of one of several patterns, tried in order."""

    def __init__(self, patterns: Sequence[AccessPattern]) -> None:
        if not patterns:
            raise ValueError("no access log pattern is given")
        self.patterns: Final = tuple(patterns)

    def parse(self, line: bytes) -> AccessRecord:
        """The record of a whole line, by the first pattern that takes it.

        Raises ParseError (`no_pattern_matches`, or `bad_timestamp` where a pattern matches and its time doesn't exist).
        """
        text, has_escapes = _decode(line)
        refused: ParseError | None = None
        last = text[-1:]
        for pattern in self.patterns:
            # Cheaper than a match that fails at the end: a line that ends in a digit is not `combined`.
            if last > " " and last not in pattern.ends and pattern.ends:
                continue
            match = pattern.match(text)
            if match is not None:
                try:
                    return pattern.record(match, has_escapes)
                except ParseError as error:
                    refused = refused or error
        raise refused or _no_match(text)

    def parse_many(self, lines: Sequence[bytes]) -> list[AccessRecord | ParseError]:
        """What `parse` gives or raises for each line, in order."""
        results: list[AccessRecord | ParseError] = []
        append = results.append
        parse = self.parse
        for line in lines:
            try:
                append(parse(line))
            except ParseError as error:
                append(error)
        return results


def compile_pattern(pattern: str, tomcat: float) -> AccessPattern:
    """The parser of a pattern: `common`, `combined`, or Tomcat's own syntax as in server.xml.

    `tomcat` is the version that writes the log (8.5, 9, 10.1, ...; 10 means 10.1); it decides the units of %D and %T
    and what %q writes where there is no query.

    Raises ValueError, naming code and position, for a code that this Tomcat doesn't have, a brace that isn't closed, an
    unsupported time format, and adjacent codes whose values nobody could tell apart (`%b%D`).
    """
    return AccessPattern(pattern, tomcat)


def compile_patterns(patterns: Sequence[str], tomcat: float) -> AccessParser:
    """The parser that tries several patterns in order. Raises ValueError as compile_pattern, and for no pattern."""
    return AccessParser([compile_pattern(pattern, tomcat) for pattern in patterns])


def encode(record: AccessRecord, service: str | None, host: str | None, ts_ms: int | None = None) -> bytes:
    """The JSON of topic `access-log`: the record between its service and host, keys in the contract's order.

    `ts_ms` is the record's time where the line gave none. Never fails: lone surrogates in `service` and `host` become
    U+FFFD (the record's own texts have none).
    """
    ts, client, user, method, path, query, protocol, status, size, duration_ms, referer, user_agent = record
    value = {
        "ts": ts_ms if ts is None else ts,
        "service": service,
        "host": host,
        "client": client,
        "user": user,
        "method": method,
        "path": path,
        "query": query,
        "protocol": protocol,
        "status": status,
        "bytes": size,
        "duration_ms": duration_ms,
        "referer": referer,
        "user_agent": user_agent,
    }
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        value["service"] = None if service is None else replace_surrogates(service)
        value["host"] = None if host is None else replace_surrogates(host)
        return orjson.dumps(value)


# A NamedTuple's own constructor is a Python function with twelve arguments; this is what it calls, and half the time.
_new_record: Final[Callable[..., AccessRecord]] = tuple.__new__


def _decode(line: bytes) -> tuple[str, bool]:
    text = line.decode("utf-8", "replace")
    return (hide_escapes(text), True) if "\\" in text else (text, False)


def _no_match(text: str) -> ParseError:
    shown = show_escapes(text[:_SHOWN_CHARACTERS])
    return ParseError(NO_PATTERN_MATCHES, f"the line is of none of the route's patterns: {shown!r}")


def _split_request(request: str) -> tuple[str | None, str | None, str | None, str | None]:
    """Method, path, query and protocol of a request line that isn't `METHOD target HTTP/x`.

    The first word is the method, the last one the protocol if it looks like one, all between is the target: a hostile
    client may put blanks there. HTTP/0.9 has no protocol, and some releases of Tomcat write `null` or `-` for it.
    """
    if request in ("", "-"):
        return None, None, None, None
    method, _, target = request.partition(" ")
    before, _, last = target.rpartition(" ")
    protocol = None
    if last.startswith("HTTP/"):
        target, protocol = before, last
    elif last in ("", "-", "null") and before:
        target = before
    path, mark, query = target.partition("?")
    return method, path, query if mark else None, protocol


def _duration_ms(text: str, units_per_ms: float) -> float:
    # Seconds come as 1.001, which times 1000 is 1000.9999…: rounded to the microsecond, finer than any %T writes it.
    value = float(text) / units_per_ms if units_per_ms >= 1 else round(float(text) * 1000, 3)
    return value if value > 0 else 0.0
