"""Logs of a real Tomcat as events for Sluice, each line with the request that it tells of."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode

import zstandard

from deploy.cluster.tomcat import Tomcat, Valve
from tests.support.polling import wait_until
from tests.support.shop import Entry, Order, Visited, odd_visits, ordinary_visits, pay
from tests.support.worker import Worker

COMMON = Valve("common", "common_log", buffered=True)
COMBINED = Valve("combined", "combined_log")
TIMED = Valve('%h %l %u %t "%r" %s %b %D', "timed_log")
UNKNOWN = Valve("%a %m %U%q %s %B %X %I", "unknown_log")  # of a pattern that no route names
VALVES = (COMMON, COMBINED, TIMED, UNKNOWN)

RECORD_START = re.compile(rb"^\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}:\d{2}\.\d{3} \S+ \[", re.MULTILINE)
VISIT = re.compile(rb"[?&]visit=(\d+) ")

_EVENTS_A_POST = 150
_WRITTEN_WITHIN_S = 60.0  # a buffered valve writes about every 10 s


@dataclass(frozen=True)
class Log:
    """One log as it is sent: the events of one host, in the order of its lines."""

    host: str
    headers: dict[str, str]  # of every event, without the host
    bodies: list[bytes]
    content_type: str
    encoding: str = "identity"
    timestamps_ms: Sequence[int] | None = None  # the header `timestamp` of each event

    def all_headers(self, index: int) -> dict[str, str]:
        """The headers of one event."""
        headers = {**self.headers, "host": self.host}
        if self.timestamps_ms is not None:
            headers["timestamp"] = str(self.timestamps_ms[index])
        return headers


class DrivenTomcat:
    """A Tomcat after its shop was visited, by many at a time and then by odd ones, each alone.

    Its logs are complete when the constructor returns. `entries` and `orders` are what they must tell: those of the
    first `ordinary` entries came at the same time, the others one after the other.
    """

    def __init__(self, tomcat: Tomcat, visits: int, seed: int) -> None:
        self.tomcat = tomcat
        self.ordinary = visits
        self.visited = Visited()
        with ThreadPoolExecutor(12) as customers:
            for visit in customers.map(lambda visit: pay(tomcat, visit), ordinary_visits(visits, seed)):
                self.visited.add(visit)
        self._wait_written(UNKNOWN)  # the last valve: the others have written before
        for visit in odd_visits():
            self.visited.add(pay(tomcat, visit))
            self._wait_written(UNKNOWN)
        for valve in VALVES:
            self._wait_written(valve)
        orders, errors = len(self.visited.orders), self.visited.errors
        wait_until(lambda: len(self.lines("orders.")) == orders, _WRITTEN_WITHIN_S, f"{orders} lines of orders")
        for name in ("catalina.2", "localhost.2"):
            wait_until(
                lambda name=name: sum(b"card refused" in record for record in self.records(name)) >= errors,
                _WRITTEN_WITHIN_S, f"{errors} stack traces in {name}",
            )  # fmt: skip

    def lines(self, prefix: str) -> list[bytes]:
        """The complete lines of the log files whose names start so; usually one, two around midnight."""
        return [line for path in self._files(prefix) for line in path.read_bytes().split(b"\n")[:-1]]

    def records(self, prefix: str) -> list[bytes]:
        """The records of such a log of Tomcat's own, without the last line's end."""
        text = b"".join(path.read_bytes() for path in self._files(prefix))
        starts = [match.start() for match in RECORD_START.finditer(text)]
        assert not text or starts[0] == 0
        return [
            text[start:end].removesuffix(b"\n") for start, end in zip(starts, [*starts[1:], len(text)], strict=True)
        ]

    def entries_of(self, valve: Valve) -> list[Entry]:
        """What the lines of a valve must tell, one by one."""
        lines, entries = self.lines(valve.prefix), self.visited.entries
        assert len(lines) == len(entries)
        numbered = []
        for line in lines[: self.ordinary]:
            found = VISIT.search(line)
            assert found is not None, line
            numbered.append(int(found[1]))
        assert sorted(numbered) == list(range(self.ordinary))
        return [entries[number] for number in numbered] + entries[self.ordinary :]

    def orders_of(self) -> list[Order]:
        """What the lines of the business log must tell, one by one."""
        orders = {order.order_id: order for order in self.visited.orders}
        assert len(orders) == len(self.visited.orders)
        return [orders[json.loads(line)["order_id"]] for line in self.lines("orders.")]

    def _files(self, prefix: str) -> list[Path]:
        return sorted(self.tomcat.logs.glob(f"{prefix}*"))

    def _wait_written(self, valve: Valve) -> None:
        entries = len(self.visited.entries)
        wait_until(
            lambda: len(self.lines(valve.prefix)) == entries, _WRITTEN_WITHIN_S, f"{entries} lines of {valve.prefix}"
        )


def access_time_s(line: bytes) -> int:
    """The instant in an access line of ours, epoch seconds."""
    stamp = line.partition(b"[")[2].partition(b"]")[0].decode()
    return int(datetime.strptime(stamp, "%d/%b/%Y:%H:%M:%S %z").timestamp())


def record_time_ms(record: bytes) -> int:
    """The instant of a record of Tomcat's own log, which is in local time, epoch ms."""
    stamp = datetime.strptime(record[:24].decode(), "%d-%b-%Y %H:%M:%S.%f")
    return round(stamp.timestamp() * 1000)


def post(worker: Worker, log: Log) -> None:
    """Send a log in posts of its format, one after the other; each must be acknowledged."""
    encode = {"identity": lambda body: body, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}
    to_body, path = _FORMATS[log.content_type], "/logCollect2"
    if log.content_type == "text/plain":
        assert log.timestamps_ms is None
        path += "?" + urlencode(log.all_headers(0))
    for first in range(0, len(log.bodies), _EVENTS_A_POST):
        indexes = range(first, min(first + _EVENTS_A_POST, len(log.bodies)))
        body = encode[log.encoding](to_body(log, indexes))
        answer = worker.post(path, body, log.content_type, Content_Encoding=log.encoding)
        assert (answer.status_code, answer.text) == (200, "")


def _flume(log: Log, index: int) -> dict[str, object]:
    return {"headers": log.all_headers(index), "body": log.bodies[index].decode()}


def _as_array(log: Log, indexes: Iterable[int]) -> bytes:
    return json.dumps([_flume(log, index) for index in indexes]).encode()


def _as_ndjson(log: Log, indexes: Iterable[int]) -> bytes:
    return "".join(json.dumps(_flume(log, index), ensure_ascii=False) + "\n" for index in indexes).encode()


def _as_lines(log: Log, indexes: Iterable[int]) -> bytes:
    return b"".join(log.bodies[index] + b"\r\n" for index in indexes)


_FORMATS: dict[str, Callable[[Log, Iterable[int]], bytes]] = {
    "application/json": _as_array,
    "application/x-ndjson": _as_ndjson,
    "text/plain": _as_lines,
}

DAY_MS = 86_400_000


def logs_of(driven: DrivenTomcat) -> dict[str, Log]:
    """Everything that the Tomcat wrote, each log in a format of its own, and some damaged lines."""
    combined = driven.lines(COMBINED.prefix)
    localhost = driven.records("localhost.2")
    logs = [
        Log("common", {"type": "access_log"}, driven.lines(COMMON.prefix), "application/json"),  # service: the host
        Log("combined", {"type": "access_log", "service": "shop"}, combined, "application/x-ndjson", "gzip"),
        Log("timed", {"type": "access_log", "service": "été & co"}, driven.lines(TIMED.prefix), "text/plain"),
        Log("unknown", {"type": "access_log", "service": "shop"}, driven.lines(UNKNOWN.prefix), "text/plain", "zstd"),
        Log("damaged", {"type": "access_log", "service": "shop"}, damaged(combined), "text/plain", "gzip"),
        Log(
            "catalina", {"type": "catalina"}, records := driven.records("catalina.2"), "application/x-ndjson",
            timestamps_ms=[record_time_ms(record) for record in records],
        ),
        Log(  # collected a day late
            "localhost", {"type": "localhost.log/2"}, localhost, "application/json", "zstd",
            [record_time_ms(record) - DAY_MS for record in localhost],
        ),
        Log(
            "orders", {"type": "business", "logger": "orders", "service": "shop"}, driven.lines("orders."),
            "application/json", "gzip", [int(time.time() * 1000)] * len(driven.lines("orders.")),
        ),
    ]  # fmt: skip
    return {log.host: log for log in logs}


def damaged(lines: Sequence[bytes]) -> list[bytes]:
    """Lines as a full disk, two writers and a crash leave them: cut off, run together, headless, not text."""
    line = lines[0]
    return [line[: line.rindex(b' "') + 3], line + line, line[line.index(b"[") :], b"\0" * 512, b"\xff\xfe"]
