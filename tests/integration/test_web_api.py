"""The web of real workers on a real Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROUTES = """
[access_log]
patterns = ['%h %l %u %t "%r" %s %b %D']
tomcat = 9

[[business]]
name = "orders"
logger = "orders"
format = "json"
timestamp = "ts"
fields = { status = "str", amount = "float" }
group_by = ["status"]
metrics = { revenue = { sum = "amount" }, amount = { percentiles = "amount" } }
"""
HOSTILE = "/<img/src=x/onerror=alert(1)>"
NOW_S = int(time.time())  # as the tests were collected: what runs before these may take an hour
RETENTION_S = 86_400


def access(path: str, status: int, duration_ms: int, *, service: str, host: str, age_s: int = 0) -> dict[str, Any]:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(NOW_S - age_s))
    line = f'10.0.0.1 - - [{stamp}] "GET {path} HTTP/1.1" {status} 100 {duration_ms}'
    return {"headers": {"type": "access_log", "service": service, "host": host}, "body": line}


def order(status: str, amount: float) -> dict[str, Any]:
    body = json.dumps({"ts": NOW_S * 1000, "status": status, "amount": amount})
    return {"headers": {"type": "business", "logger": "orders", "host": "web-1"}, "body": body}


EVENTS = [
    *(access("/cart", 200, 10, service="shop", host="web-1") for _ in range(90)),
    *(access("/cart", 500, 1000, service="shop", host="web-2") for _ in range(10)),
    *(access(HOSTILE, 404, 5, service="pay", host="web-1", age_s=600) for _ in range(20)),
    *(order("paid", 2.5) for _ in range(4)),
    order("open", 1.0),
    {"headers": {"type": "access_log", "host": "web-1"}, "body": "no access line \x1b[31m <script>"},
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    workers = Workers(tmp_path_factory.mktemp("web"))
    yield workers
    workers.kill()


@pytest.fixture(scope="module")
def served(fresh_kafka: LiveKafka, made: Workers, tmp_path_factory: pytest.TempPathFactory) -> Worker:
    """A worker with every role that has handled EVENTS."""
    routes = tmp_path_factory.mktemp("routes") / "routes.toml"
    routes.write_text(ROUTES, "utf-8")
    worker = made(broker=fresh_kafka.url, settings={"SLUICE_ROUTES": routes, "SLUICE_RETENTION_S": RETENTION_S})
    assert worker.post("/logCollect2", json.dumps(EVENTS), "application/json").status_code == 200
    wait_until(lambda: fresh_kafka.lag("sluice-monitor", "raw-log") == 0, 30, "the monitor to be done")
    # A batch is in the windows, and counted, a moment after its offset is committed.
    wait_until(lambda: in_windows(worker, "/api/access", "requests") == 120, 30, "all requests in windows")
    wait_until(lambda: in_windows(worker, "/api/business/orders", "count") == 5, 30, "all orders in windows")
    return worker


def in_windows(worker: Worker, page: str, what: str) -> int:
    return sum(window[what] for window in worker.get_json(page)["windows"])


def test_access_windows_hold_every_request(served: Worker) -> None:
    answer = served.get_json("/api/access")

    assert answer["window_s"] == 10
    by_service: dict[str, int] = {}
    statuses: dict[str, int] = {}
    for window in answer["windows"]:
        assert window["start"] % 10 == 0
        by_service[window["service"]] = by_service.get(window["service"], 0) + window["requests"]
        for status, n in window["status"].items():
            statuses[status] = statuses.get(status, 0) + n
    assert by_service == {"shop": 100, "pay": 20}
    assert statuses == {"200": 90, "500": 10, "404": 20}


def test_access_latencies_are_within_two_percent(served: Worker) -> None:
    (window,) = served.get_json(f"/api/access?service=shop&from={NOW_S - 60}")["windows"]

    latency = window["latency_ms"]
    assert latency["p50"] == pytest.approx(10, rel=0.02)
    assert latency["p95"] == pytest.approx(1000, rel=0.02)
    assert latency["max"] == 1000


@pytest.mark.parametrize(
    ("query", "requests_"),
    [
        ("service=pay", 20),
        ("host=web-2", 10),
        ("service=shop&host=web-1", 90),
        ("service=nobody", 0),
        (f"from={NOW_S - 300}", 100),
        (f"to={NOW_S - 300}", 20),
        ("step=60&by=none", 120),
    ],
)
def test_access_can_be_narrowed(served: Worker, query: str, requests_: int) -> None:
    windows = served.get_json(f"/api/access?{query}")["windows"]

    assert sum(window["requests"] for window in windows) == requests_


def test_all_services_together(served: Worker) -> None:
    windows = served.get_json("/api/access?by=none&step=3600")["windows"]

    assert sum(window["requests"] for window in windows) == 120
    assert {window["service"] for window in windows} == {None}
    assert len({window["start"] for window in windows}) == len(windows)


def test_top_paths_come_as_they_are(served: Worker) -> None:
    top = served.get_json("/api/access/top?n=1")

    assert (top["most_requested"][0]["path"], top["most_requested"][0]["requests"]) == ("/cart", 100)
    rare = served.get_json("/api/access/top?n=5&service=pay")["most_requested"]
    assert [row["path"] for row in rare] == [HOSTILE]


def test_business_windows(served: Worker) -> None:
    windows = served.get_json("/api/business/orders")["windows"]

    assert {window["key"]["status"]: (window["count"], window["revenue"]) for window in windows} == {
        "paid": (4, 10.0),
        "open": (1, 1.0),
    }


def test_an_unknown_route_is_told_which_there_are(served: Worker) -> None:
    answer = served.get("/api/business/%3Cscript%3E")

    assert answer.status_code == 404
    assert answer.json() == {"error": "there is no business route of this name; routes: orders"}


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("/api/access?from=x", "from"),
        ("/api/access?to=1767225600000", "to"),
        ("/api/access?step=7", "step"),
        ("/api/access?step=0", "step"),
        ("/api/access?by=%00", "by"),
        ("/api/access/top?n=0", "n"),
        ("/api/access/top?n=" + "9" * 4000, "n"),
        ("/api/access/top?by=password", "by"),
        ("/api/business/orders?from=-1", "from"),
        ("/api/dead-letters?n=1001", "n"),
        ("/api/dead-letters?n=%F0%9F%92%A9", "n"),
    ],
)
def test_a_bad_parameter_is_named_in_one_line(served: Worker, path: str, parameter: str) -> None:
    answer = served.get(path)

    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{parameter}=")
    assert len(answer.json()["error"]) < 300


@pytest.mark.parametrize("query", ["service=%ff%fe", "service=%00", "host=%ED%A0%80", "service=a&service=b", "&&=&%"])
def test_odd_query_strings_get_an_answer(served: Worker, query: str) -> None:
    assert served.get(f"/api/access?{query}").status_code == 200


def test_lag_is_the_contracts(served: Worker) -> None:
    def caught_up() -> Any:
        groups = served.get_json("/api/lag")["groups"]
        return groups if not any(at["lag"] for at in groups["sluice-monitor"]["raw-log"].values()) else None

    groups = wait_until(caught_up, 10, "no lag")

    assert set(groups) == {"sluice-monitor", "sluice-history"}
    partitions = groups["sluice-monitor"]["raw-log"]
    assert set(partitions) == {"0", "1", "2", "3"}
    assert all(set(at) == {"committed", "end", "lag"} for at in partitions.values())
    assert sum(at["end"] for at in partitions.values()) == len(EVENTS)


def test_dead_letters_newest_first(served: Worker) -> None:
    letter = served.get_json("/api/dead-letters")[0]

    assert letter["reason"] == "no_pattern_matches"
    assert letter["body"] == "no access line \x1b[31m <script>"
    assert letter["headers"] == {"type": "access_log", "host": "web-1"}
    assert letter["truncated"] is False


def test_metrics(served: Worker) -> None:
    answer = served.get("/metrics")
    # A scrape waits for the brokers for a moment only.
    wait_until(lambda: "sluice_brokers_up 1.0" in served.get("/metrics").text, 10, "the brokers to be up")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, sample.labels.get("flow")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if not sample.name.endswith("_state")
    }
    assert samples["sluice_flow_received_total", "access-log"] == 121
    assert samples["sluice_flow_sent_total", "access-log"] == 120
    assert samples["sluice_flow_rejected_total", "access-log"] == 1
    assert samples["sluice_ready", None] == 1


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/health",
        "/ready",
        "/metrics",
        "/api/access",
        "/api/lag",
        "/api/flows",
        "/api/dead-letters",
    ],
)
def test_no_answer_can_be_taken_for_something_else(served: Worker, path: str) -> None:
    # `/ready` waits for the brokers for a moment only.
    answer = wait_until(lambda: [each for each in [served.get(path)] if each.status_code == 200], 10, "an answer")[0]

    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    if path.startswith("/api"):
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
        assert answer.headers["Cache-Control"] == "no-store"
    wait_until(lambda: served.request("HEAD", path).status_code == 200, 10, "an answer to HEAD")
    assert served.request("POST", path, data=b"x").status_code == 405


def test_the_page_and_its_files(served: Worker) -> None:
    page = served.get("/")

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for file, kind in (
        ("dashboard.js", "text/javascript"),
        ("dashboard.css", "text/css"),
        ("icon.svg", "image/svg+xml"),
    ):
        assert f"static/{file}" in page.text
        assert served.get(f"/static/{file}").headers["Content-Type"].startswith(kind)
    assert served.get("/static/../api.py").status_code == 404


def test_any_worker_answers_for_all_and_lag_is_right_while_one_stalls(
    served: Worker, made: Workers, fresh_kafka: LiveKafka
) -> None:
    settings = {"SLUICE_ROUTES": routes_of(served), "SLUICE_RETENTION_S": RETENTION_S}
    other = made(broker=fresh_kafka.url, roles="ingest", settings=settings)

    def both() -> Any:
        flows = other.get_json("/api/flows")
        return flows if len([w for w in flows["workers"] if w["alive"] and w["ready"]]) == 2 else None

    flows = wait_until(both, 20, "both workers to know of each other")
    assert {flow["name"] for flow in flows["routes"]} == {"access-log", "business-orders"}
    (http,) = flows["sources"]
    assert len(http["workers"]) == 2
    assert http["received"] == len(EVENTS)
    windows = served.get_json("/api/access")["windows"]
    # It follows one partition after the other.
    wait_until(lambda: other.get_json("/api/access")["windows"] == windows, 20, "the windows on the other worker")

    served.pause()
    try:
        body = json.dumps([access("/late", 200, 1, service="shop", host="web-9")] * 50)
        assert other.post("/logCollect2", body, "application/json").status_code == 200

        def lag() -> int:
            partitions = other.get_json("/api/lag")["groups"]["sluice-monitor"]["raw-log"]
            return sum(at["lag"] for at in partitions.values())

        wait_until(lambda: lag() == 50, 5, "the lag of the stalled group")
    finally:
        served.cont()
    wait_until(lambda: lag() == 0, 60, "the group to catch up")
    other.stop()


def routes_of(worker: Worker) -> Path:
    return next(worker.directory.parent.parent.glob("routes*/routes.toml"))


# Last: it takes the broker away.
def test_with_the_brokers_away_it_says_so_and_stays_well(served: Worker, fresh_kafka: LiveKafka) -> None:
    before = served.get_json("/api/access?by=none&step=3600")["windows"]
    fresh_kafka.service.kill()

    (away,) = wait_until(
        lambda: [answer for answer in [served.get("/api/lag")] if answer.status_code == 503],
        15,
        "the lag to be unknown",
    )
    assert "not available" in away.json()["error"]
    assert away.headers["Retry-After"] == "2"
    ready = served.get("/ready")
    assert (ready.status_code, ready.json()["checks"]["brokers"]["ok"]) == (503, False)
    assert served.get("/health").status_code == 200
    assert served.get("/api/dead-letters?n=3").status_code == 503
    assert "sluice_brokers_up 0.0" in served.get("/metrics").text
    assert served.get_json("/api/access?by=none&step=3600")["windows"] == before
