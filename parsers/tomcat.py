"""Tomcat access log lines to records, by the pattern that Tomcat wrote them with.

This is the hot path: a line costs one search for a backslash and one regular expression match; the rest is done for
many lines at once, by the column. Lines of the usual form are not even matched where there is the compiled splitter,
which takes only those that come out the same. Measured alternatives are in docs/decisions/0003-parsing-access-lines.md,
0009 and 0012.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from parsers.errors import ParseError
from parsers.escapes import hide_escapes, show_escapes, undo_escapes
from parsers.timestamps import StampCache
from parsers.tomcat_dates import SEPARATOR
from parsers.tomcat_fields import ROLES
from parsers.tomcat_record import AccessColumns, AccessRecord, LineColumns, encode, encode_many
from parsers.tomcat_regex import compile_line

try:
    from parsers import _access as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

__all__ = [
    "AccessColumns",
    "AccessParser",
    "AccessPattern",
    "AccessRecord",
    "compile_pattern",
    "compile_patterns",
    "encode",
    "encode_many",
]

# What is wrong with a line that is refused; the reasons of the ParseErrors raised here.
NO_PATTERN_MATCHES: Final = "no_pattern_matches"
BAD_TIMESTAMP: Final = "bad_timestamp"

_STATUS: Final[dict[str | None, int | None]] = {**{str(code): code for code in range(100, 600)}, "-": None, None: None}
_ABSENT: Final = ("-", "null", "", None)  # method and protocol of codes of their own: `null` without a request line
_SHOWN_CHARACTERS: Final = 200  # of a refused line in the error's message

Row = tuple[Any, ...]  # one of each column
Refused = dict[int, ParseError]  # by the line's place


class AccessPattern:
    """Reads the lines of one pattern. Holds no state but a bounded cache of timestamps."""

    def __init__(self, pattern: str, tomcat: float) -> None:
        line = compile_line(pattern, tomcat)
        self.pattern = pattern
        self.match: Final = line.regex.match
        self.ends: Final = line.ends
        self._order = line.order
        self._apart = not line.has_request_line
        place = ROLES.index("time")
        self._time_groups = line.time_groups or (line.order[place] if line.order else place + 1,)
        self._per_ms = line.units_per_ms
        self._stamps = None if line.instant is None else StampCache(line.instant.read)
        self.usual: Final = (line.steps, line.ends, line.units_per_ms)  # for the compiled splitter
        self._known_stamps = {} if self._stamps is None else self._stamps.known

    def parse(self, line: bytes) -> AccessRecord:
        """The record of a whole line.

        Raises ParseError (`no_pattern_matches`, `bad_timestamp`) for a line that isn't of the pattern from its first
        byte to its last, line end and trailing blanks apart.
        """
        return AccessParser([self]).parse(line)

    def find(self, texts: Mapping[int, str]) -> dict[int, re.Match[str]]:
        """The matches of those lines that are of the pattern."""
        found = {}
        ends = self.ends
        for place, text in texts.items():
            # Cheaper than a match that fails at the end: a line that ends in a digit is not `combined`.
            if not ends or text[-1:] in ends or text[-1:] <= " ":
                match = self.match(text)
                if match is not None:
                    found[place] = match
        return found

    def columns(self, matches: Sequence[re.Match[str]], has_escapes: bool) -> tuple[AccessColumns, Refused]:
        """The records of matched lines, without those whose time does not exist (`bad_timestamp`)."""
        order = self._order
        rows = [match.groups() for match in matches] if order is None else [match.group(*order) for match in matches]
        groups: Sequence[Any] = list(zip(*rows, strict=True)) or [()] * len(ROLES)
        client, user, time, method, path, query, protocol, request, status, size, referer, agent, duration = groups
        times: list[Any] = list(map(self._known_stamps.get, time))
        if self._stamps is not None and None in times:
            times = [self._read_time(match) for match in matches]
            refused = {place: error for place, error in enumerate(times) if isinstance(error, ParseError)}
            if refused:
                kept = [match for place, match in enumerate(matches) if place not in refused]
                return self.columns(kept, has_escapes)[0], refused
        if request.count(None) < len(request):
            usual = zip(method, path, query, protocol, strict=True)
            parts = [each if line is None else _split_request(line) for line, each in zip(request, usual, strict=True)]
            method, path, query, protocol = zip(*parts, strict=True)
        elif self._apart:
            method, protocol = ([None if text in _ABSENT else text for text in each] for each in (method, protocol))
        if has_escapes:
            client, user, method, path, query, protocol, referer, agent = (
                [text if text is None else undo_escapes(text) for text in column]
                for column in (client, user, method, path, query, protocol, referer, agent)
            )
        per_ms = self._per_ms
        columns = AccessColumns(
            times,
            _present(client),
            _present(user),
            method,
            _present(path),
            query,
            protocol,
            [_STATUS[text] if text in _STATUS else int(text) for text in status],
            [0 if text == "-" or text is None else int(text) for text in size],
            [None if text is None else _duration_ms(text, per_ms) for text in duration],
            _present(referer),
            _present(agent),
        )
        return columns, {}

    def _read_time(self, match: re.Match[str]) -> int | ParseError:
        assert self._stamps is not None
        try:
            return self._stamps(SEPARATOR.join(match.group(number) for number in self._time_groups))
        except ValueError as error:
            return ParseError(BAD_TIMESTAMP, str(error))


class AccessParser:
    """Parses lines that are of one of several patterns, tried in order."""

    def __init__(self, patterns: Sequence[AccessPattern]) -> None:
        if not patterns:
            raise ValueError("no access log pattern is given")
        self.patterns: Final = tuple(patterns)
        # The first pattern that a line with this last character may be of: `common` is not tried as `combined` first.
        self._first_by_end: Final = {
            end: next(pattern for pattern in patterns if not pattern.ends or end in pattern.ends)
            for end in "".join(pattern.ends for pattern in patterns)
            if end > " "
        }
        usual = [pattern.usual for pattern in patterns]
        has_steps = any(steps is not None for steps, *_ in usual)
        self._splitter: Final = compiled.Splitter(usual) if compiled is not None and has_steps else None

    def parse(self, line: bytes) -> AccessRecord:
        """The record of a whole line, by the first pattern that takes it.

        Raises ParseError (`no_pattern_matches`, or `bad_timestamp` where a pattern matches and its time doesn't exist).
        """
        columns, refused = self.parse_many([line])
        if refused:
            raise refused[0]
        return AccessRecord._make(column[0] for column in columns)

    def parse_many(self, lines: Sequence[bytes]) -> tuple[AccessColumns | LineColumns, Refused]:
        """The records of whole lines, in order, without those that are refused, for what `parse` raises."""
        if self._splitter is None:
            return self.match_many(lines)
        columns, left = self._splitter.split(lines)
        if not left:
            return columns, {}
        others, errors = self.match_many([lines[place] for place in left])
        if len(left) == len(lines):
            return others, errors
        refused = {left[number]: error for number, error in errors.items()}
        columns.settle([place for place in left if place not in refused], list(zip(*others, strict=True)), refused)
        return columns, refused

    def match_many(self, lines: Sequence[bytes]) -> tuple[AccessColumns, Refused]:
        """The same by regular expression alone: what is true of every line."""
        texts = [line.decode("utf-8", "replace") for line in lines]
        # Most lines are of the pattern of the first one, and have no backslash.
        first, first_of = self.patterns[0], self._first_by_end.get
        usual = first_of(texts[0][-1:], first) if texts else first
        match = usual.match
        matches = [match(text) if first_of(text[-1:], first) is usual and "\\" not in text else None for text in texts]
        columns, refused = usual.columns([match for match in matches if match is not None], False)
        if not refused and None not in matches:
            return columns, {}
        places = [place for place, match in enumerate(matches) if match is not None]
        taken = [place for number, place in enumerate(places) if number not in refused]
        return self._others(texts, dict(zip(taken, zip(*columns, strict=True), strict=True)))

    def _others(self, texts: Sequence[str], rows: dict[int, Row]) -> tuple[AccessColumns, Refused]:
        """The same where some lines have their row already: tries every pattern on the others, with escapes undone."""
        refused: Refused = {}
        for has_escapes in (False, True):
            left = {
                place: hide_escapes(text) if has_escapes else text
                for place, text in enumerate(texts)
                if place not in rows and ("\\" in text) is has_escapes
            }
            for pattern in self.patterns:
                found = pattern.find(left)
                columns, bad_times = pattern.columns(list(found.values()), has_escapes)
                for number, place in enumerate(found):
                    if number in bad_times:  # another pattern may read it
                        refused.setdefault(place, bad_times[number])
                    else:
                        del left[place]
                taken = [place for place in found if place not in left]
                rows.update(zip(taken, zip(*columns, strict=True), strict=True))
            for place, text in left.items():
                refused.setdefault(place, _no_match(text))
        ordered = (rows[place] for place in sorted(rows))
        columns = AccessColumns(*(list(zip(*ordered, strict=True)) or [()] * len(AccessColumns._fields)))
        return columns, {place: refused[place] for place in sorted(refused) if place not in rows}


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


def _present(column: Sequence[str | None]) -> Sequence[str | None]:
    """The same with None for what the log writes where there is nothing."""
    return [None if text == "-" else text or None for text in column]


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
