"""Questions about access windows, answered over all partitions in the shape of the web contract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from tables import keys
from tables.access import BY_PATH, BY_SOURCE, TABLE
from tables.exact import restore, shown
from tables.histogram import add_counts, percentiles
from tables.reader import Reader
from tables.span import span_of

TOP_BY = ("path",)  # what `access_top` can be asked for
_DECODED_AT_ONCE = 4096  # JSON values: one parser call for many is several times faster


class _Total:
    """Windows of one service, added up."""

    __slots__ = ("longest_ms", "parts", "requests", "size", "statuses")

    def __init__(self) -> None:
        self.requests = 0
        self.size = 0
        self.longest_ms: float | None = None
        self.statuses: dict[int | None, int] = {}
        self.parts: list[tuple[list[int], list[int]]] = []  # histograms

    def add(self, stored: bytes) -> None:
        """Add a stored SourceSlot."""
        requests, size, longest_ms, statuses, per_status, buckets, per_bucket = orjson.loads(stored)
        self.requests += requests
        self.size += int(restore(size))
        add_counts(self.statuses, statuses, per_status)
        if longest_ms is not None:
            self.longest_ms = longest_ms if self.longest_ms is None else max(self.longest_ms, longest_ms)
            self.parts.append((buckets, per_bucket))

    def shown(self, start_s: int, service: str | None) -> dict[str, Any]:
        """The row of an answer."""
        return {
            "start": start_s,
            "service": service,
            "requests": self.requests,
            "bytes": shown(self.size),
            "status": {
                "-" if code is None else str(code): self.statuses[code]
                for code in sorted(self.statuses, key=lambda code: -1 if code is None else code)
            },
            "latency_ms": percentiles(self.parts, 0.0, self.longest_ms or 0.0),
        }


def access_windows(
    readers: Sequence[Reader],
    *,
    window_s: int,
    retention_s: int,
    service: str | None = None,
    host: str | None = None,
    start_s: int | None = None,
    end_s: int | None = None,
    step_s: int | None = None,
    by_service: bool = True,
) -> list[dict[str, Any]]:
    """`windows` of /api/access: a row for each step and service, by time and then service.

    Without `by_service` a row for each step, of all services asked for together; its `service` is null.

    `start_s` and `end_s` are widened to whole steps. Percentiles are null where no line said how long it took.
    Raises ValueError for a step that is not a multiple of the window.
    """
    span = span_of(readers, window_s, retention_s, start_s, end_s, step_s)
    first = keys.window_prefix(TABLE, BY_SOURCE, span.start_s)
    end = keys.window_prefix(TABLE, BY_SOURCE, span.end_s)
    at = len(first) - 8
    services: dict[bytes, tuple[bool, str | None]] = {}  # stored key -> (is asked for, service)
    totals: dict[tuple[int, str | None], _Total] = {}
    for reader in readers:
        for key, value in reader.range(first, end):
            packed = key[at + 8 :]
            if packed not in services:
                its_service, its_host = orjson.loads(packed)
                asked = service in (None, its_service) and host in (None, its_host)
                services[packed] = asked, its_service if by_service else None
            asked, its_service = services[packed]
            if asked:
                cell = span.step_of(keys.unpack_start(key[at : at + 8])), its_service
                total = totals.get(cell)
                if total is None:
                    total = totals[cell] = _Total()
                total.add(value)
    cells = sorted(totals, key=lambda cell: (cell[0], cell[1] is not None, cell[1] or ""))
    return [totals[cell].shown(*cell) for cell in cells]


def access_top(
    readers: Sequence[Reader],
    *,
    window_s: int,
    retention_s: int,
    by: str = "path",
    n: int = 20,
    service: str | None = None,
    start_s: int | None = None,
    end_s: int | None = None,
) -> dict[str, Any]:
    """/api/access/top: the `n` most requested, slowest (by mean) and most failing (5xx, then 4xx) paths of a service.

    The slowest are of those whose lines say how long they took, the most failing of those that failed at all. Raises
    ValueError for a `by` that is not one of TOP_BY.
    """
    if by not in TOP_BY:
        raise ValueError(f"by={by!r} is not one of {', '.join(TOP_BY)}")
    span = span_of(readers, window_s, retention_s, start_s, end_s)
    first = keys.window_prefix(TABLE, BY_PATH, span.start_s)
    end = keys.window_prefix(TABLE, BY_PATH, span.end_s)
    totals: dict[bytes, list[Any]] = {}
    for reader in readers:
        packed_keys: list[bytes] = []
        values: list[bytes] = []
        for key, value in reader.range(first, end):
            packed_keys.append(key[len(first) :])
            values.append(value)
            if len(values) == _DECODED_AT_ONCE:
                _add_paths(totals, packed_keys, values)
        _add_paths(totals, packed_keys, values)
    rows = [_path_row(packed, total) for packed, total in totals.items()]
    rows = [row for row in rows if service in (None, row["service"])]
    failing = [row for row in rows if row["errors"]["5xx"] or row["errors"]["4xx"]]
    timed = [row for row in rows if row["latency_ms"]["mean"] is not None]
    return {
        "by": by,
        "most_requested": _first(rows, n, lambda row: row["requests"]),
        "slowest": _first(timed, n, lambda row: (row["latency_ms"]["mean"], row["requests"])),
        "most_failing": _first(failing, n, lambda row: (row["errors"]["5xx"], row["errors"]["4xx"], row["requests"])),
    }


def _add_paths(totals: dict[bytes, list[Any]], packed_keys: list[bytes], values: list[bytes]) -> None:
    """Add stored PathSlots, and clear both lists."""
    for packed, slot in zip(packed_keys, orjson.loads(b"[" + b",".join(values) + b"]"), strict=True):
        total = totals.get(packed)
        if total is None:
            totals[packed] = slot
        else:
            total[0] += slot[0]
            total[1] += slot[1]
            total[2] += slot[2]
            total[3] += slot[3]
            total[4] += slot[4]
            if slot[5] > total[5]:
                total[5] = slot[5]
    packed_keys.clear()
    values.clear()


def _path_row(packed: bytes, total: list[Any]) -> dict[str, Any]:
    service, path = orjson.loads(packed)
    requests, client_errors, server_errors, timed, total_ms, longest_ms = total
    return {
        "path": path,
        "service": service,
        "requests": requests,
        "errors": {"4xx": client_errors, "5xx": server_errors},
        "latency_ms": {
            "mean": round(total_ms / timed, 3) if timed else None,
            "max": longest_ms if timed else None,
        },
    }


def _first(rows: list[dict[str, Any]], n: int, rank: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """The `n` rows that rank highest; equals in the order of their names, so that an answer does not flicker."""
    named = sorted(rows, key=lambda row: (row["service"] or "", row["path"] or ""))
    return sorted(named, key=rank, reverse=True)[: max(n, 0)]
