"""What is counted of access logs: windows by source (service and host), and by path within a service.

Both families are built from the same records, so they share their windows' metas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Protocol, runtime_checkable

import orjson

from tables.exact import restore, store
from tables.histogram import bucket_of
from tables.keys import MAX_TEXT_CHARS, Source, short
from tables.reader import Changes, Reader
from tables.window import Family, Shelf, Slot, Window, WindowTable

try:
    from tables import _access as compiled
except ImportError:
    compiled = None  # type: ignore[assignment]

TABLE = "access"
BY_SOURCE = "s"
BY_PATH = "p"
OTHER = "other"
MAX_DURATION_MS = 1e12  # thirty years; what claims to have taken longer was not measured

Path = tuple["str | None", "str | None"]  # service, path


class AccessColumns(Protocol):
    """What parsed access lines are asked for, a column of each."""

    @property
    def path(self) -> Sequence[str | None]: ...
    @property
    def status(self) -> Sequence[int | None]: ...
    @property
    def bytes(self) -> Sequence[int]: ...
    @property
    def duration_ms(self) -> Sequence[float | None]: ...


@runtime_checkable
class PackedColumns(Protocol):
    """Columns that also come in machine numbers."""

    def packed(self) -> tuple[list[str | None], bytes, bytes, bytes, bytes] | None:
        """(paths, each record's path among them, statuses, bytes, durations), the four as int, int, long long, double.

        No status is -1, no duration NaN. None where machine numbers can't hold a number, or not its type.
        """


class SourceSlot(Slot):
    """Requests of one source in one window."""

    __slots__ = ("latencies", "longest_ms", "requests", "size", "statuses")

    def __init__(self) -> None:
        self.requests = 0
        self.size = 0
        self.longest_ms: float | None = None  # None: no line said how long it took
        self.statuses: dict[int | None, int] = {}
        self.latencies: dict[int, int] = {}  # histogram

    def encode(self) -> bytes:
        """Flat columns: [requests, bytes, longest, statuses, counts, buckets, counts]."""
        statuses, latencies = self.statuses, self.latencies
        return orjson.dumps(
            (
                self.requests,
                store(self.size),
                self.longest_ms,
                [*statuses],
                [*statuses.values()],
                [*latencies],
                [*latencies.values()],
            )
        )

    @classmethod
    def decode(cls, stored: bytes) -> SourceSlot:
        """What `encode` has stored."""
        slot = cls()
        slot.requests, size, slot.longest_ms, statuses, per_status, buckets, per_bucket = orjson.loads(stored)
        slot.size = int(restore(size))
        slot.statuses = dict(zip(statuses, per_status, strict=True))
        slot.latencies = dict(zip(buckets, per_bucket, strict=True))
        return slot


class PathSlot(Slot):
    """Requests of one path in one window."""

    __slots__ = ("client_errors", "longest_ms", "requests", "server_errors", "timed", "total_ms")

    def __init__(self) -> None:
        self.requests = 0
        self.client_errors = 0  # 4xx
        self.server_errors = 0  # 5xx
        self.timed = 0  # requests whose line said how long they took
        self.total_ms: float = 0  # in the order of the records, so that it is the same in a replay
        self.longest_ms: float = 0

    def encode(self) -> bytes:
        """[requests, 4xx, 5xx, timed, total, longest]."""
        return orjson.dumps(
            (self.requests, self.client_errors, self.server_errors, self.timed, self.total_ms, self.longest_ms)
        )

    @classmethod
    def decode(cls, stored: bytes) -> PathSlot:
        """What `encode` has stored."""
        slot = cls()
        (
            slot.requests,
            slot.client_errors,
            slot.server_errors,
            slot.timed,
            slot.total_ms,
            slot.longest_ms,
        ) = orjson.loads(stored)
        return slot


SOURCES: Family[Source, SourceSlot] = Family(BY_SOURCE, (OTHER, None), list, SourceSlot, SourceSlot.decode)
PATHS: Family[Path, PathSlot] = Family(BY_PATH, (OTHER, OTHER), list, PathSlot, PathSlot.decode)


class AccessTable:
    """The access windows of one partition. Counts by source and by path each have `max_keys` keys a window."""

    name = TABLE

    def __init__(self, reader: Reader, max_keys: int) -> None:
        self._windows = WindowTable(TABLE, (SOURCES, PATHS), reader, max_keys)

    def add_many(self, start_s: int, offsets: Sequence[int], sources: Sequence[Source], columns: AccessColumns) -> None:
        """Count lines, offsets ascending, in the window that starts at `start_s`; those that it has not counted."""
        window = self._windows.enter(start_s, offsets[0])
        counted = window.count(offsets)
        if compiled is not None and isinstance(columns, PackedColumns):
            packed = columns.packed()
            if packed is not None:
                find_source, find_path = (shelf.find for shelf in window.shelves)
                compiled.count(packed, sources, counted, find_source, find_path, MAX_DURATION_MS)
                return
        self._add_each(window, counted, sources, columns)

    def _add_each(self, window: Window, counted: int, sources: Sequence[Source], columns: AccessColumns) -> None:
        lines = zip(sources, columns.path, columns.status, columns.bytes, columns.duration_ms, strict=True)
        shelves: tuple[Shelf[Source, SourceSlot], Shelf[Path, PathSlot]] = window.shelves  # type: ignore[assignment]
        find_source, find_path = shelves[0].find, shelves[1].find
        # `find` would do; calling it only for the first line of a batch saves a tenth of a line's time.
        known_source, known_path = shelves[0].slots.get, shelves[1].slots.get
        for source, path, status, size, duration_ms in islice(lines, counted, None):
            by_source = known_source(source)
            if by_source is None or not by_source.touched:
                by_source = find_source(source)
            by_source.requests += 1
            by_source.size += size
            statuses = by_source.statuses
            statuses[status] = statuses.get(status, 0) + 1
            if path is not None and len(path) > MAX_TEXT_CHARS:
                path = short(path)
            named = source[0], path
            by_path = known_path(named)
            if by_path is None or not by_path.touched:
                by_path = find_path(named)
            by_path.requests += 1
            if status is not None and status >= 400:
                if status >= 500:
                    by_path.server_errors += 1
                else:
                    by_path.client_errors += 1
            if duration_ms is not None and 0 <= duration_ms <= MAX_DURATION_MS:
                bucket = bucket_of(duration_ms)
                latencies = by_source.latencies
                latencies[bucket] = latencies.get(bucket, 0) + 1
                if by_source.longest_ms is None or duration_ms > by_source.longest_ms:
                    by_source.longest_ms = duration_ms
                by_path.timed += 1
                by_path.total_ms += duration_ms
                if duration_ms > by_path.longest_ms:
                    by_path.longest_ms = duration_ms

    def collect(self, changes: Changes) -> None:
        """Put everything counted since the last time among `changes`."""
        self._windows.collect(changes)

    @property
    def entered(self) -> Iterable[int]:
        """The starts of the windows that the current batch has entered."""
        return self._windows.entered

    def forget(self, start_s: int) -> None:
        """Forget a window that is deleted from the store."""
        self._windows.forget(start_s)

    def clear(self) -> None:
        """Forget everything: the store is what counts."""
        self._windows.clear()
