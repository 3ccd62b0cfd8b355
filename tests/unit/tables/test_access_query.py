"""Answers about access windows, in the shape of the contract."""

from __future__ import annotations

import orjson
import pytest

from tables.access_query import access_top, access_windows
from tests.support.monitoring import EPOCH_MS, RETENTION_S, WINDOW_S, Monitored, Raw, access_headers, access_line

CLOCK = {"window_s": WINDOW_S, "retention_s": RETENTION_S}
START = EPOCH_MS // 1000


def partition(*lines, number=0):
    """A committed partition of lines (seconds from START, service, host, path, status, duration)."""
    monitored = Monitored(partition=number)
    monitored.run(
        [
            Raw(
                offset,
                EPOCH_MS + at_s * 1000,
                access_line(EPOCH_MS + at_s * 1000, path, status, 100, duration_ms),
                access_headers(service, host),
            )
            for offset, (at_s, service, host, path, status, duration_ms) in enumerate(lines)
        ]
    )
    return monitored.store


LEFT = partition(
    (0, "shop", "web-1", "/", 200, 10.0), (3, "shop", "web-1", "/buy", 500, 30.0), (12, "blog", "web-1", "/", 200, None)
)
RIGHT = partition((5, "shop", "web-2", "/", 404, 20.0), (25, "shop", "web-2", "/", 200, None), number=1)
READERS = [LEFT, RIGHT]


def test_the_shape_of_a_window():
    first = access_windows(READERS, **CLOCK)[0]
    assert first.pop("latency_ms") == {
        "p50": pytest.approx(20, rel=0.02),
        "p95": 30.0,
        "p99": 30.0,
        "max": 30.0,
    }
    assert first == {
        "start": START,
        "service": "shop",
        "requests": 3,
        "bytes": 300,
        "status": {"200": 1, "404": 1, "500": 1},
    }


def test_partitions_hosts_and_time():
    rows = [(row["start"] - START, row["service"], row["requests"]) for row in access_windows(READERS, **CLOCK)]
    assert rows == [(0, "shop", 3), (10, "blog", 1), (20, "shop", 1)]


def test_without_latencies_there_are_nulls():
    row = access_windows(READERS, service="blog", **CLOCK)[0]
    assert row["latency_ms"] == {"p50": None, "p95": None, "p99": None, "max": None}


def test_by_service_and_host():
    assert [row["requests"] for row in access_windows(READERS, service="shop", **CLOCK)] == [3, 1]
    assert [row["requests"] for row in access_windows(READERS, host="web-1", **CLOCK)] == [2, 1]
    assert access_windows(READERS, service="shop", host="nobody", **CLOCK) == []


def test_from_to_and_step():
    def starts(**span):
        return [row["start"] - START for row in access_windows(READERS, **span, **CLOCK)]

    assert starts(start_s=START + 10) == [10, 20]
    assert starts(start_s=START + 10, end_s=START + 20) == [10]
    assert starts(end_s=START + 11) == [0, 10]
    assert starts(step_s=20) == [0, 0, 20]
    assert sum(row["requests"] for row in access_windows(READERS, step_s=RETENTION_S, **CLOCK)) == 5


def test_lines_without_service_or_host():
    monitored = Monitored()
    monitored.run(
        [
            Raw(0, EPOCH_MS, access_line(EPOCH_MS), access_headers(None, None)),
            Raw(1, EPOCH_MS, access_line(EPOCH_MS), access_headers(None, "web-9")),
        ]
    )
    assert [row["service"] for row in access_windows([monitored.store], **CLOCK)] == [None, "web-9"]


def test_top_paths():
    top = access_top(READERS, **CLOCK)
    assert top["by"] == "path"
    assert [(row["service"], row["path"], row["requests"]) for row in top["most_requested"]] == [
        ("shop", "/", 3),
        ("blog", "/", 1),
        ("shop", "/buy", 1),
    ]
    assert top["slowest"] == [
        {
            "path": "/buy",
            "service": "shop",
            "requests": 1,
            "errors": {"4xx": 0, "5xx": 1},
            "latency_ms": {"mean": 30.0, "max": 30.0},
        },
        {
            "path": "/",
            "service": "shop",
            "requests": 3,
            "errors": {"4xx": 1, "5xx": 0},
            "latency_ms": {"mean": 15.0, "max": 20.0},
        },
    ]
    assert [row["path"] for row in top["most_failing"]] == ["/buy", "/"]


def test_top_of_a_service_a_time_and_a_number():
    assert len(access_top(READERS, n=1, **CLOCK)["most_requested"]) == 1
    assert access_top(READERS, n=-1, **CLOCK)["most_requested"] == []
    assert [row["requests"] for row in access_top(READERS, service="blog", **CLOCK)["most_requested"]] == [1]
    assert [row["requests"] for row in access_top(READERS, start_s=START + 20, **CLOCK)["most_requested"]] == [1]


def test_top_by_something_else():
    with pytest.raises(ValueError, match="by='nonsense' is not one of path"):
        access_top(READERS, by="nonsense", **CLOCK)


def test_windows_out_of_the_retention_are_not_shown_though_they_are_still_stored():
    late = partition((RETENTION_S + 15, "shop", "web-3", "/", 200, None), number=2)
    rows = access_windows([*READERS, late], **CLOCK)
    assert [row["start"] - START for row in rows] == [10, 20, RETENTION_S + 10]


def test_answers_are_json():
    orjson.dumps([access_windows(READERS, **CLOCK), access_top(READERS, **CLOCK)])


def test_of_all_services_together():
    rows = access_windows(READERS, by_service=False, step_s=20, **CLOCK)
    assert [(row["start"] - START, row["service"], row["requests"]) for row in rows] == [(0, None, 4), (20, None, 1)]
