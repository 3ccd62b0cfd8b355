"""Reads the next records of one open file, and notices when it is not the file any more that was read before.

Everything here blocks, and runs in a thread; it is given all it needs to know and changes nothing but the disk cache.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from config.wording import printable
from parsers.event import Event
from sources.base import with_headers
from sources.tail.identity import BEFORE_BYTES, PREFIX_BYTES, Digest, Fingerprint, digest, read_at
from sources.tail.records import Piece, Records

CHUNK_BYTES = 262_144
MAX_EVENTS = 4_000  # of one batch: lines of a few bytes each are many

# What the headers of an event are called.
FILE = "file"  # the path
OFFSET = "offset"  # of the record's first byte
PIECE = "piece"  # of a record that is too long: 1, 2, 3 ...
MORE = "more"  # "true" on all pieces but the last
ORIGIN = "tail"  # what recall goes by: <id of the content>/<offset of what follows>[/<pieces so far of an open record>]


class Place(NamedTuple):
    """Where to go on reading some content, and what it must look like there."""

    id: str
    path: str
    position: int
    number: int
    fingerprint: Fingerprint


class Batch(NamedTuple):
    """Records in a row, and the place behind them."""

    events: list[Event]
    ends: list[tuple[int, int]]  # for each event where it ends, and the pieces so far if it ends within a record
    n_bytes: int
    after: Place


class Reading(NamedTuple):
    """What there was to read at a place."""

    batch: Batch | None  # None where nothing is complete
    changed: bool = False  # the file is shorter now, or other bytes are before the place: nothing was read
    size: int = 0  # of the file
    at_end: bool = False  # the batch is the last for now
    waiting: bool = False  # lines are there, whose record may go on


class Reader:
    """The reader of one source: how its files are cut, and which headers its events get."""

    def __init__(self, records: Records, headers: Mapping[str, str], override: bool) -> None:
        self.records = records
        self._headers = headers
        self._override = override

    def read(self, fd: int, place: Place, size: int = -1, *, quiet: bool = False, finished: bool = False) -> Reading:
        """The records from a place on, about CHUNK_BYTES of them.

        `quiet` and `finished` as `Records.cut` has them; they hold for a file that still has `size`. Raises OSError.
        """
        known_size, size = size, os.fstat(fd).st_size
        if size != known_size:
            quiet = finished = False
        n_before = place.fingerprint.before.n_bytes
        prefix = place.fingerprint.prefix
        if place.position > size or digest(read_at(fd, 0, prefix.n_bytes)) != prefix:
            return Reading(None, changed=True, size=size)
        for chunk_bytes in (CHUNK_BYTES, CHUNK_BYTES + 2 * self.records.max_bytes):
            data = read_at(fd, place.position - n_before, n_before + chunk_bytes)
            if digest(data[:n_before]) != place.fingerprint.before:
                return Reading(None, changed=True, size=size)
            all_read = len(data) < n_before + chunk_bytes
            last = finished and all_read
            cut = self.records.cut(
                data[n_before:], place.position, place.number, quiet=quiet and all_read, finished=last
            )
            if all_read or cut.end > place.position:
                break
        pieces, end, number = cut
        if len(pieces) > MAX_EVENTS:
            pieces = pieces[:MAX_EVENTS]
            end, number = pieces[-1].end, pieces[-1].number if pieces[-1].more else 0
        at_end = all_read and end == cut.end
        read_to = place.position + len(data) - n_before
        waiting = at_end and self.records.multiline and b"\n" in data[n_before + end - place.position :]
        if end == place.position:
            return Reading(None, size=read_to, at_end=True, waiting=waiting)
        upto = n_before + end - place.position
        behind = data[max(0, upto - BEFORE_BYTES) : upto]
        if prefix.n_bytes < PREFIX_BYTES:
            prefix = digest(read_at(fd, 0, PREFIX_BYTES))
        after = place._replace(position=end, number=number, fingerprint=Fingerprint(prefix, digest(behind)))
        ends = [(piece.end, piece.number if piece.more else 0) for piece in pieces]
        path = shown(place.path)
        events = [Event(self._headers_of(place.id, path, piece), piece.body) for piece in pieces]
        batch = Batch(events, ends, sum(len(piece.body) for piece in pieces), after)
        return Reading(batch, size=read_to, at_end=at_end, waiting=waiting)

    def _headers_of(self, id: str, path: str, piece: Piece) -> dict[str, str]:
        own = {FILE: path, OFFSET: str(piece.start)}
        if piece.number:
            own[PIECE] = str(piece.number)
            if piece.more:
                own[MORE] = "true"
        headers = with_headers(own, self._headers, self._override)
        headers[ORIGIN] = f"{id}/{piece.end}" + (f"/{piece.number}" if piece.more else "")
        return headers


def shown(path: str) -> str:
    """A path as text: what is not UTF-8 in it is replaced, and what a terminal would obey is written out."""
    return printable(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))


def beginning(id: str, path: str, fd: int) -> Place:
    """The place at the start of an open file. Raises OSError."""
    return Place(id, path, 0, 0, Fingerprint(digest(read_at(fd, 0, PREFIX_BYTES)), Digest(0, "")))
