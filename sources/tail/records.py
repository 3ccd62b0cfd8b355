"""Cuts the bytes of a file into records: lines, or several lines from one that starts a record to the next.

Nothing is remembered between calls but where to go on: the offset, and how many pieces of a too long record were cut
there. So a restart cuts the same bytes the same way.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# A record of more lines than this is cut, like one of too many bytes: a start pattern that never matches again.
MAX_LINES = 10_000

# Tomcat's catalina.out. In this order: JULI's OneLineFormatter; SimpleFormatter, whose records are two lines; the time
# that the JVM writes above a thread dump; its unified logging, as of the garbage collector.
CATALINA = (
    rb"\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})? \S+ \["
    rb"|[A-Z][a-z]{2} \d{1,2}, \d{4} \d{1,2}:\d{2}:\d{2} (?:AM|PM) \S"
    rb"|\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\r?$"
    rb"|\[\d+[.,]\d+s\]\["
)


class Piece(NamedTuple):
    """A record, or a piece of one that is too long: what lies between two offsets, without the line end."""

    start: int
    end: int  # where the next one starts
    body: bytes
    number: int = 0  # of a piece, from 1; 0 for a whole record
    more: bool = False  # further pieces of the same record follow


class Cut(NamedTuple):
    """What some bytes give, and where to go on: at offset `end`, `number` pieces into a record."""

    pieces: list[Piece]
    end: int
    number: int


class Records:
    """The rule of one source: how records start, and how long one may be.

    Nothing is lost: a record of more than `max_bytes` comes as several pieces, whose bodies joined are the record.
    A piece within a record may have a line end more.
    Line ends are LF or CRLF; a record has none at its end, and keeps those within. Empty lines between records of one
    line are passed over.
    """

    def __init__(self, max_bytes: int, start: re.Pattern[bytes] | None = None) -> None:
        self.max_bytes = max_bytes
        self._start = start

    @property
    def multiline(self) -> bool:
        """Whether a record can go on with the next line, so that its end shows only later."""
        return self._start is not None

    def cut(self, data: bytes, at: int, number: int, *, quiet: bool = False, finished: bool = False) -> Cut:
        """Cut what the file holds from offset `at` on, `number` pieces into a record.

        The last line waits for its end, unless the file is `finished`; the last record of several lines waits for the
        start of the next, unless the file is `quiet` or finished.
        """
        if self._start is None:
            return self._lines(data, at, number, finished)
        return self._records(self._start, data, at, number, quiet or finished, finished)

    def _lines(self, data: bytes, at: int, number: int, finished: bool) -> Cut:
        pieces: list[Piece] = []
        lines = data.split(b"\n")
        rest = lines.pop()
        longest = self.max_bytes
        for line in lines:
            end = at + len(line) + 1
            body = line[:-1] if line.endswith(b"\r") else line
            if number or len(body) > longest:
                self._long(pieces, at, end, body, number)
                number = 0
            elif body:
                pieces.append(Piece(at, end, body))
            at = end
        if finished and rest:
            if number or len(rest) > longest:
                self._long(pieces, at, at + len(rest), rest, number)
            else:
                pieces.append(Piece(at, at + len(rest), rest))
            return Cut(pieces, at + len(rest), 0)
        return self._unfinished(pieces, at, rest, number)

    def _records(self, start: re.Pattern[bytes], data: bytes, at: int, number: int, quiet: bool, finished: bool) -> Cut:
        pieces: list[Piece] = []
        lines = data.split(b"\n")
        rest = lines.pop()
        if finished and rest:
            lines.append(rest)
            rest = b""
        begin = here = 0  # where the record, and the line, start in `data`
        n_lines = 0
        for line in lines:
            end = min(here + len(line) + 1, len(data))
            # What follows a cut belongs to the cut record: it is no start, whatever it looks like.
            inside = number > 0 if here == begin else not start.match(line)
            # The CR before an LF goes with it; the last line of a finished file has no LF, and keeps its CR.
            length = len(line) - (line.endswith(b"\r") and end > here + len(line))
            if here > begin and not inside:
                _add(pieces, data, at, begin, here, number, more=False)
                begin, number, n_lines = here, 0, 0
            elif here > begin and (here + length - begin > self.max_bytes or n_lines >= MAX_LINES):
                number += 1
                pieces.append(Piece(at + begin, at + here, data[begin:here], number, True))
                begin, n_lines = here, 0
            while here + length - begin > self.max_bytes:
                number += 1
                cut = _cut_at(data, begin, self.max_bytes)
                pieces.append(Piece(at + begin, at + cut, data[begin:cut], number, True))
                begin = cut
            n_lines += 1
            here = end
        if len(rest) > self.max_bytes + 1:
            if here > begin:
                starts = start.match(rest) is not None
                _add(pieces, data, at, begin, here, number, more=not starts)
                number = 0 if starts else number + 1
            return self._unfinished(pieces, at + here, rest, number)
        if quiet and here > begin:
            _add(pieces, data, at, begin, here, number, more=False)
            begin, number = here, 0
        return Cut(pieces, at + begin, number)

    def _long(self, pieces: list[Piece], at: int, end: int, body: bytes, number: int) -> None:
        """A whole line, or what is left of one, in pieces."""
        begin = 0
        while len(body) - begin > self.max_bytes:
            cut = _cut_at(body, begin, self.max_bytes)
            number += 1
            pieces.append(Piece(at + begin, at + cut, body[begin:cut], number, True))
            begin = cut
        pieces.append(Piece(at + begin, end, body[begin:], number + 1))

    def _unfinished(self, pieces: list[Piece], at: int, rest: bytes, number: int) -> Cut:
        """Pieces of a line without an end yet. One byte more than fits may be the CR of its end: it waits."""
        begin = 0
        while len(rest) - begin > self.max_bytes + 1:
            cut = _cut_at(rest, begin, self.max_bytes)
            number += 1
            pieces.append(Piece(at + begin, at + cut, rest[begin:cut], number, True))
            begin = cut
        return Cut(pieces, at + begin, number)


def _add(pieces: list[Piece], data: bytes, at: int, begin: int, end: int, number: int, *, more: bool) -> None:
    """What lies between two places of `data`. The last of a record loses its line end; empty lines are no record."""
    body = data[begin:end]
    if not more and body.endswith(b"\n"):
        body = body[: -2 if body.endswith(b"\r\n") else -1]
    if number or more or body.strip(b"\r\n"):
        pieces.append(Piece(at + begin, at + end, body, number + 1 if number or more else 0, more))


def _cut_at(data: bytes, begin: int, n_bytes: int) -> int:
    """Where to cut at most `n_bytes` after `begin`: not within a UTF-8 character, if it is one."""
    cut = begin + n_bytes
    for back in range(min(4, n_bytes)):
        if data[cut - back] & 0xC0 != 0x80:
            return cut - back
    return cut
