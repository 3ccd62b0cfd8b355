"""A real Tomcat's logs through a real worker, Kafka and HDFS, compared line by line with what was requested."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from deploy.cluster.tomcat import Tomcat
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.shop import Entry
from tests.support.tomcat_logs import (
    COMBINED,
    COMMON,
    TIMED,
    VALVES,
    DrivenTomcat,
    Log,
    access_time_s,
    logs_of,
    post,
)
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.tomcat, pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

VISITS = 400
PATIENCE_S = 90.0
MONITORING_TOPICS = ("access-log", "business-orders", "dead-letter")
READ = {"common": COMMON, "combined": COMBINED, "timed": TIMED}  # logs whose pattern a route names, by host

ROUTES = """
[access_log]
patterns = ["combined", '%h %l %u %t "%r" %s %b %D', "common"]
tomcat = 10

[[business]]
name = "orders"
logger = "orders"
format = "json"
timestamp = "ts"
fields = { order_id = "str", status = "str", amount = "float" }
group_by = ["status"]
metrics = { revenue = { sum = "amount" }, amount = { percentiles = "amount" } }
"""

# The three patterns as their description has them, for users without quotes; nothing of Sluice's own parser.
STAMP = r"\[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4}\]"
QUOTED = r'"(?:[^"\\]|\\.)*"'
ACCESS_LINE = re.compile(
    rf'\S+ \S+ [^"\[]+ {STAMP} {QUOTED} (?:\d{{3}}|-) (?:\d+|-)(?: {QUOTED} {QUOTED}| \d+)?',
)


@dataclass(frozen=True)
class Told:
    """What a line must become on the topic `access-log`, and in the windows."""

    entry: Entry
    value: dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """A worker that has handled all logs of a Tomcat."""

    kafka: LiveKafka
    hdfs: LiveHdfs
    root: str
    worker: Worker
    driven: DrivenTomcat
    logs: dict[str, Log]

    def raw_of(self, host: str) -> list[ConsumerRecord]:
        """The records of a host in raw-log, in their order."""
        return [record for record in self.kafka.consume("raw-log") if record.key == host.encode()]

    def told(self, host: str) -> list[Told]:
        """What the lines of an access log must become, one by one."""
        log = self.logs[host]
        entries = self.driven.entries_of(READ[host])
        return [Told(entry, access_value(log, line, entry)) for line, entry in zip(log.bodies, entries, strict=True)]

    def answers(self) -> dict[str, Any]:
        """Everything that the windows say."""
        pages = ("/api/access", "/api/access?step=60&by=none", "/api/access/top?n=1000", "/api/business/orders")
        return {page: self.worker.get_json(page) for page in pages}

    def wait_caught_up(self) -> None:
        for group in ("sluice-monitor", "sluice-history"):
            wait_until(lambda group=group: self.kafka.lag(group, "raw-log") == 0, PATIENCE_S, f"{group} to be done")


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DrivenTomcat]:
    tomcat = Tomcat(tmp_path_factory.mktemp("tomcat"), VALVES, contexts=("", "/shop"))
    try:
        tomcat.start()
        yield DrivenTomcat(tomcat, VISITS, seed=1)
        tomcat.stop()
    finally:
        tomcat.kill()


@pytest.fixture(scope="module")
def served(
    driven: DrivenTomcat, fresh_kafka: LiveKafka, hdfs: LiveHdfs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    directory, root = tmp_path_factory.mktemp("worker"), hdfs.new_path()
    (directory / "routes.toml").write_text(ROUTES, "utf-8")
    workers = Workers(directory)
    try:
        worker = workers(
            broker=fresh_kafka.url,
            history=hdfs.history_url(root),
            settings={"SLUICE_ROUTES": directory / "routes.toml", "SLUICE_HISTORY_ROLL_INTERVAL_S": 2},
        )
        deployment = Deployment(fresh_kafka, hdfs, root, worker, driven, logs_of(driven))
        for log in deployment.logs.values():
            post(worker, log)
        deployment.wait_caught_up()
        yield deployment
    finally:
        workers.kill()


def access_value(log: Log, line: bytes, entry: Entry) -> dict[str, Any]:
    """The value on `access-log` by the contract: from the request that was sent; of the line only what Tomcat's clock
    says, which the client's clock bounds."""
    value: dict[str, Any] = {
        "ts": access_time_s(line) * 1000,
        "service": log.headers.get("service", log.host),
        "host": log.host,
        "client": "127.0.0.1",
        "user": entry.user,
        "method": entry.method,
        "path": entry.path,
        "query": entry.query,
        "protocol": entry.protocol,
        "status": entry.status,
        "bytes": entry.size,
        "duration_ms": None,
        "referer": None,
        "user_agent": None,
    }
    if log.host == "timed":
        value["duration_ms"] = int(line.rsplit(b" ", 1)[1]) / 1000  # Tomcat 10.1 writes microseconds
    if log.host == "combined":
        value["referer"], value["user_agent"] = entry.referer, entry.user_agent
    return value


def nearest_ranks(values: Sequence[float]) -> dict[str, float | None]:
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("p50", "p95", "p99", "max"))
    ranks: dict[str, float | None] = {f"p{p}": ordered[ceil(len(ordered) * p / 100) - 1] for p in (50, 95, 99)}
    return {**ranks, "max": ordered[-1]}


def about(percentiles: dict[str, float | None]) -> dict[str, Any]:
    """Within the 2 % of the contract; the maximum exactly."""
    return {
        name: exact if exact is None or name == "max" else pytest.approx(exact, rel=0.02)
        for name, exact in percentiles.items()
    }


def position(record: ConsumerRecord) -> tuple[int, int]:
    """The raw record that a record of a monitoring topic names."""
    partition, _, offset = dict(record.headers)["raw"].decode().partition("/")
    return int(partition), int(offset)


def positions(records: Iterable[ConsumerRecord]) -> list[tuple[int, int]]:
    return [(record.partition, record.offset) for record in records]


def test_tomcat_wrote_what_this_test_is_about(driven: DrivenTomcat) -> None:
    """Guards the comparison: each valve has a line for each request, stack traces and buffered lines included."""
    for valve in VALVES:
        assert len(driven.lines(valve.prefix)) == len(driven.visited.entries) > VISITS + 50
    statuses = Counter(entry.status for entry in driven.visited.entries)
    assert set(statuses) == {200, 302, 400, 401, 404, 405, 500, 501, 505}
    traces = [record for record in driven.records("catalina.2") if b"card refused" in record]
    assert len(traces) == driven.visited.errors > 3
    assert all(record.count(b"\n\t") > 20 for record in traces)
    for entry, line in zip(driven.entries_of(TIMED), driven.lines(TIMED.prefix), strict=True):
        assert int(entry.began_s) <= access_time_s(line) <= entry.ended_s
        assert entry.least_ms - 2 <= int(line.rsplit(b" ", 1)[1]) / 1000


def test_raw_log_has_each_line_in_its_order(served: Deployment) -> None:
    for host, log in served.logs.items():
        records = served.raw_of(host)
        assert [record.value for record in records] == log.bodies
        for index, record in enumerate(records):
            assert {name: value.decode() for name, value in record.headers} == log.all_headers(index)
    assert sum(served.kafka.end_offsets("raw-log").values()) == sum(len(log.bodies) for log in served.logs.values())


def test_history_has_each_record_once_where_it_belongs(served: Deployment) -> None:
    raw = {(record.partition, record.offset): record for record in served.kafka.consume("raw-log")}
    seen: Counter[tuple[int, int]] = Counter()
    for path in served.hdfs.files(f"{served.root}/data"):
        folders = path.removeprefix(f"{served.root}/data/").split("/")[:-1]
        for row in map(json.loads, served.hdfs.read(path).splitlines()):
            at = row["partition"], row["offset"]
            seen[at] += 1
            record = raw[at]
            headers = {name: value.decode() for name, value in record.headers}
            body = row["body"].encode() if "body" in row else base64.b64decode(row["body_base64"])
            assert body == record.value
            assert ("body" in row) == (record.value != b"\xff\xfe")
            assert row["headers"] == headers
            assert row["ts"] == int(headers.get("timestamp", record.timestamp))
            at_utc = datetime.fromtimestamp(row["ts"] / 1000, timezone.utc)
            kind = headers["type"].replace("/", "%2F")
            assert folders == [f"type={kind}", at_utc.strftime("dt=%Y-%m-%d"), at_utc.strftime("hour=%H")]
    assert seen == dict.fromkeys(raw, 1)


def test_access_log_tells_what_was_requested(served: Deployment) -> None:
    forwarded = served.kafka.consume("access-log")
    assert len(set(map(position, forwarded))) == len(forwarded)
    by_position = {position(record): record for record in forwarded}
    expected = 0
    for host in READ:
        for raw, told in zip(served.raw_of(host), served.told(host), strict=True):
            record = by_position[raw.partition, raw.offset]
            assert json.loads(record.value) == told.value
            assert record.key == raw.key
            expected += 1
    assert len(forwarded) == expected


def test_dead_letters_are_the_lines_that_do_not_parse(served: Deployment) -> None:
    """Which those are is known from what was sent, and a regular expression from the format's description agrees."""
    lost = [*served.raw_of("unknown"), *served.raw_of("damaged")]
    lines = [record for host in (*READ, "unknown", "damaged") for record in served.raw_of(host)]
    assert positions(lost) == [
        at
        for record, at in zip(lines, positions(lines), strict=True)
        if not ACCESS_LINE.fullmatch(record.value.decode("utf-8", "replace"))
    ]
    no_json = [raw for raw in served.raw_of("orders") if b"NaN" in raw.value]
    assert len(no_json) == sum(order.amount is None for order in served.driven.visited.orders) == 1
    expected = {(record.partition, record.offset): (record, "no_pattern_matches") for record in lost}
    expected |= {(record.partition, record.offset): (record, "not_json") for record in no_json}

    letters = served.kafka.consume("dead-letter")

    assert sorted(map(position, letters)) == sorted(expected)
    for letter in letters:
        raw, reason = expected[position(letter)]
        headers = dict(letter.headers)
        assert letter.value == raw.value
        assert letter.key == raw.key
        assert headers["reason"] == reason.encode()
        assert headers["error"]
        assert {name: headers[name] for name, _ in raw.headers} == dict(raw.headers)
    newest = served.worker.get_json("/api/dead-letters?n=1000")
    shown = newest["dead_letters"] if isinstance(newest, dict) else newest
    assert len(shown) == len(letters)


def test_business_topic_tells_what_was_ordered(served: Deployment) -> None:
    log, orders = served.logs["orders"], served.driven.orders_of()
    by_position = {position(record): json.loads(record.value) for record in served.kafka.consume("business-orders")}
    assert len(by_position) == len(orders) - 1
    for raw, line, order in zip(served.raw_of("orders"), log.bodies, orders, strict=True):
        if order.amount is None:
            assert (raw.partition, raw.offset) not in by_position
            continue
        ts = json.loads(line)["ts"]
        assert order.began_s * 1000 - 1 <= ts <= order.ended_s * 1000
        assert by_position[raw.partition, raw.offset] == {
            "ts": ts, "service": "shop", "host": "orders",
            "order_id": order.order_id, "status": order.status, "amount": order.amount,
        }  # fmt: skip


def test_access_windows_add_up_to_the_requests(served: Deployment) -> None:
    answer = served.worker.get_json("/api/access")
    cells: dict[tuple[int, str], list[Told]] = defaultdict(list)
    for host in READ:
        for told in served.told(host):
            cells[told.value["ts"] // 1000 // 10 * 10, told.value["service"]].append(told)

    assert answer["window_s"] == 10
    assert [(window["start"], window["service"]) for window in answer["windows"]] == sorted(cells)
    for window in answer["windows"]:
        lines = cells[window["start"], window["service"]]
        took = [told.value["duration_ms"] for told in lines if told.value["duration_ms"] is not None]
        assert window["requests"] == len(lines)
        assert window["bytes"] == sum(told.entry.size for told in lines)
        assert window["status"] == {str(code): n for code, n in Counter(told.entry.status for told in lines).items()}
        assert window["latency_ms"] == about(nearest_ranks(took))
    timed = served.worker.get_json("/api/access?step=3600&host=timed")["windows"]
    assert sum(window["requests"] for window in timed) == len(served.driven.visited.entries)


def test_top_paths_are_those_requested(served: Deployment) -> None:
    answer = served.worker.get_json("/api/access/top?n=1000")
    cells: dict[tuple[str, str | None], list[Told]] = defaultdict(list)
    for host in READ:
        for told in served.told(host):
            path = told.entry.path
            cells[told.value["service"], path if path is None or len(path) <= 400 else path[:400] + "…"].append(told)
    expected = {}
    for cell, lines in cells.items():
        took = [told.value["duration_ms"] for told in lines if told.value["duration_ms"] is not None]
        expected[cell] = {
            "requests": len(lines),
            "errors": {
                "4xx": sum(400 <= told.entry.status < 500 for told in lines),
                "5xx": sum(told.entry.status >= 500 for told in lines),
            },
            "latency_ms": {
                "mean": pytest.approx(sum(took) / len(took), abs=0.001) if took else None,
                "max": max(took, default=None),
            },
        }

    rows = answer["most_requested"]
    assert len(rows) == len(expected)
    for row in rows:
        assert row == {"path": row["path"], "service": row["service"], **expected[row["service"], row["path"]]}
    assert [row["requests"] for row in rows] == sorted((len(lines) for lines in cells.values()), reverse=True)
    failing = [row for row in rows if row["errors"]["4xx"] or row["errors"]["5xx"]]
    by_failures = [(row["errors"]["5xx"], row["errors"]["4xx"]) for row in answer["most_failing"]]
    assert by_failures == sorted(((row["errors"]["5xx"], row["errors"]["4xx"]) for row in failing), reverse=True)
    means = [row["latency_ms"]["mean"] for row in answer["slowest"]]
    assert means == sorted((row["latency_ms"]["mean"] for row in rows if row["service"] == "été & co"), reverse=True)


def test_business_windows_add_up_to_the_orders(served: Deployment) -> None:
    answer = served.worker.get_json("/api/business/orders")
    cells: dict[tuple[int, str], list[float]] = defaultdict(list)
    for line, order in zip(served.logs["orders"].bodies, served.driven.orders_of(), strict=True):
        if order.amount is not None:
            cells[json.loads(line)["ts"] // 1000 // 10 * 10, order.status].append(order.amount)

    found = {(window["start"], window["key"]["status"]): window for window in answer["windows"]}
    assert len(found) == len(answer["windows"])
    assert set(found) == set(cells)
    for (start, status), amounts in cells.items():
        assert found[start, status] == {
            "start": start,
            "key": {"status": status},
            "count": len(amounts),
            "revenue": sum(amounts),  # quarters: exact in any order
            "amount": about(nearest_ranks(amounts)),
        }


# Last: it stops the worker.
def test_replay_gives_the_same_windows_and_forwards_nothing_twice(served: Deployment, tmp_path: Path) -> None:
    before = served.answers()
    forwarded = {topic: [*map(position, served.kafka.consume(topic))] for topic in MONITORING_TOPICS}
    served.worker.stop()
    shell = Shell(tmp_path, broker=served.kafka.url, settings={"SLUICE_HISTORY": served.hdfs.history_url(served.root)})

    said = shell("replay", "--group", "monitor", "--from", "earliest", "--json")

    assert said.status == 0, said.err
    assert served.kafka.lag("sluice-monitor", "raw-log") == sum(len(log.bodies) for log in served.logs.values())
    served.worker.start()
    served.wait_caught_up()
    wait_until(lambda: served.answers() == before, PATIENCE_S, "the windows to be what they were")
    after = {topic: [*map(position, served.kafka.consume(topic))] for topic in MONITORING_TOPICS}
    assert after == forwarded
    served.worker.stop()
    assert shell("verify", "--deep").status == 0
    assert "Traceback" not in served.worker.log
