"""What is counted of access logs: windows by source (service and host), and by path within a service.

Both families are built from the same records, so they share their windows' metas.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import orjson

from tables.exact import restore, store
from tables.histogram import bucket_of
from tables.keys import MAX_TEXT_CHARS, Source, short
from tables.reader import Changes, Reader
from tables.window import Family, Shelf, Slot, Window, WindowTable

TABLE = "access"
BY_SOURCE = "s"
BY_PATH = "p"
OTHER = "other"
MAX_DURATION_MS = 1e12  # thirty years; what claims to have taken longer was not measured

Path = tuple["str | None", "str | None"]  # service, path


class AccessLine(Protocol):
    """What a parsed access line is asked for."""

    @property
    def path(self) -> str | None: ...
    @property
    def status(self) -> int | None: ...
    @property
    def bytes(self) -> int: ...
    @property
    def duration_ms(self) -> float | None: ...


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
    _sources: Shelf[Source, SourceSlot]  # of the window that the last line went to
    _paths: Shelf[Path, PathSlot]

    def __init__(self, reader: Reader, max_keys: int) -> None:
        self._windows = WindowTable(TABLE, (SOURCES, PATHS), reader, max_keys)
        self._window: Window | None = None  # the one that the last line went to

    def add(self, start_s: int, offset: int, source: Source, line: AccessLine) -> None:
        """Count a line in the window that starts at `start_s`, unless the window has counted `offset` already."""
        window = self._window
        if window is None or window.start_s != start_s:
            window = self._enter(start_s, offset)
        if offset <= window.last:
            return
        window.last = offset
        status = line.status
        # `find` would do; calling it only for the first line of a batch saves a tenth of a line's time.
        by_source = self._sources.slots.get(source)
        if by_source is None or not by_source.touched:
            by_source = self._sources.find(source)
        by_source.requests += 1
        by_source.size += line.bytes
        statuses = by_source.statuses
        statuses[status] = statuses.get(status, 0) + 1
        path = line.path
        if path is not None and len(path) > MAX_TEXT_CHARS:
            path = short(path)
        named = source[0], path
        by_path = self._paths.slots.get(named)
        if by_path is None or not by_path.touched:
            by_path = self._paths.find(named)
        by_path.requests += 1
        if status is not None and status >= 400:
            if status >= 500:
                by_path.server_errors += 1
            else:
                by_path.client_errors += 1
        duration_ms = line.duration_ms
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
        self._window = None
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
        self._window = None
        self._windows.clear()

    def _enter(self, start_s: int, offset: int) -> Window:
        window = self._window = self._windows.enter(start_s, offset)
        self._sources, self._paths = window.shelves
        return window
