"""Raw records, a monitor on a store in memory, and a model of what monitoring must have counted."""

from __future__ import annotations

import json
import re
from calendar import timegm
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import gmtime, strftime, strptime
from typing import Any

from agents.access_log import AccessLog
from agents.business_log import BusinessLog
from agents.monitor import MAX_VALUE_BYTES, Outcome, PartitionMonitor
from config.routes import AccessLogRoute, BusinessRoute, Metric
from tables.memory import MemoryStore

WINDOW_S = 10
RETENTION_S = 60
EPOCH_MS = 1_800_000_000_000  # a whole window
PATTERN = '%h %l %u %t "%r" %s %b %D'

ACCESS = AccessLogRoute((PATTERN, "common"), 10.1)
ORDERS = BusinessRoute(
    name="orders",
    logger="order*",
    format="json",
    regex=None,
    timestamp="ts",
    fields={"status": "str", "amount": "float", "items": "int"},
    keep="listed",
    group_by=("status",),
    metrics=(
        Metric("revenue", "sum", "amount"),
        Metric("pieces", "sum", "items"),
        Metric("least", "min", "amount"),
        Metric("most", "max", "items"),
        Metric("amount", "percentiles", "amount"),
    ),
)


@dataclass(frozen=True)
class Raw:
    """What a consumer hands over of a raw-log record."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes | None = b"web-1"


def access_headers(service: str | None = "shop", host: str | None = "web-1") -> tuple[tuple[str, bytes], ...]:
    """Headers of an access line."""
    headers = [("type", b"access_log")]
    if host is not None:
        headers.append(("host", host.encode()))
    if service is not None:
        headers.append(("service", service.encode()))
    return tuple(headers)


def business_headers(logger: str = "orders", host: str = "web-1") -> tuple[tuple[str, bytes], ...]:
    """Headers of a business line."""
    return (("type", b"business"), ("logger", logger.encode()), ("host", host.encode()))


def access_line(
    at_ms: int, path: str = "/", status: int = 200, size: int = 100, duration_ms: float | None = 12.5
) -> bytes:
    """A line as Tomcat 10.1 writes it by PATTERN, by `common` without a duration; its time is in seconds."""
    stamp = strftime("%d/%b/%Y:%H:%M:%S +0000", gmtime(at_ms // 1000))
    took = "" if duration_ms is None else f" {round(duration_ms * 1000)}"
    return f'10.0.0.1 - - [{stamp}] "GET {path} HTTP/1.1" {status} {size}{took}'.encode()


def business_line(at_ms: int, **fields: Any) -> bytes:
    """A line of the business log."""
    return json.dumps({"ts": at_ms, **fields}).encode()


class Monitored:
    """A PartitionMonitor that commits to a store in memory."""

    def __init__(
        self,
        *,
        access: AccessLogRoute | None = ACCESS,
        business: Iterable[BusinessRoute] = (ORDERS,),
        partition: int = 0,
        max_keys: int = 1000,
        retention_s: int = RETENTION_S,
        store: MemoryStore | None = None,
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        self.store = MemoryStore() if store is None else store
        routes = [] if access is None else [AccessLog(access)]
        self.monitor = PartitionMonitor(
            partition,
            [*routes, *map(BusinessLog, business)],
            self.store,
            window_s=WINDOW_S,
            retention_s=retention_s,
            max_keys=max_keys,
            max_value_bytes=max_value_bytes,
        )

    def run(self, records: Sequence[Raw], forward_from: int = 0) -> Outcome:
        """Process one batch and commit it."""
        outcome = self.monitor.process(records, forward_from)
        self.store.write(outcome.changes)
        return outcome

    def drain(self) -> dict[bytes, bytes]:
        """Commit what is still to be deleted; returns the store's content."""
        while True:
            changes = self.monitor.process([], 0).changes
            if not changes:
                return self.store.content
            self.store.write(changes)


class Model:
    """Counts what the routes ACCESS and ORDERS must count of one partition: record by record, without any limit."""

    def __init__(self) -> None:
        self.clock_s = 0
        self.requests: Counter[tuple[int, str, str]] = Counter()  # by start, service and host
        self.bytes: Counter[int] = Counter()  # by start
        self.orders: Counter[tuple[int, str | None]] = Counter()  # by start and status
        self.pieces: Counter[int] = Counter()  # by start
        self.durations: dict[int, list[float]] = {}  # by start
        self.outside: Counter[tuple[int, str, str]] = Counter()  # by epoch, table and kind

    def add(self, record: Raw) -> None:
        """Count a record made by this module's functions."""
        self.clock_s = max(self.clock_s, record.timestamp // 1000 // WINDOW_S * WINDOW_S)
        headers = {name: value.decode() for name, value in record.headers}
        line = _LINE.fullmatch((record.value or b"").decode())
        if headers["type"] == "access_log" and line is not None:
            at_ms = timegm(strptime(line["time"], "%d/%b/%Y:%H:%M:%S")) * 1000
            start_s = self._window("access", at_ms, record.timestamp)
            if start_s is not None:
                self.requests[start_s, headers["service"], headers["host"]] += 1
                self.bytes[start_s] += int(line["size"])
                if line["took"] is not None:
                    self.durations.setdefault(start_s, []).append(int(line["took"]) / 1000)
        elif headers["type"] == "business":
            fields = json.loads(record.value or b"")
            start_s = self._window("business-orders", fields["ts"], record.timestamp)
            if start_s is not None:
                self.orders[start_s, fields["status"]] += 1
                self.pieces[start_s] += fields["items"]

    def _window(self, table: str, at_ms: int, arrival_ms: int) -> int | None:
        """The window that takes a line; None, and counted outside, where none does."""
        start_s = at_ms // 1000 // WINDOW_S * WINDOW_S
        if start_s < self.clock_s - RETENTION_S:
            self.outside[self.clock_s, table, "expired"] += 1
            return None
        if at_ms > arrival_ms + 300_000:
            self.outside[self.clock_s, table, "future"] += 1
            return None
        return start_s


_LINE = re.compile(r'\S+ - - \[(?P<time>\S+) \+0000\] "GET \S+ HTTP/1.1" \d+ (?P<size>\d+)(?: (?P<took>\d+))?')
