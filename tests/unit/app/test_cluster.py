"""What is told of all workers, from their reports."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from app.cluster import Roll, Worker, merged_flows
from app.heartbeat import Rates, WorkerReport
from telemetry.flow import Flow

REPORT = WorkerReport("w-1", "web-1", 17, "http://web-1:6066", ["monitor"], 1000, "0.1.0")


def record(report: WorkerReport | None, at_s: float = 0.0, key: bytes | None = b"w-1") -> Any:
    return SimpleNamespace(
        key=key, value=None if report is None else report.to_json(), timestamp=int(at_s * 1000), offset=0
    )


class Clocks:
    def __init__(self) -> None:
        self.monotonic = 100.0
        self.wall = 5000.0

    def roll(self) -> Roll:
        return Roll(lambda: self.monotonic, lambda: self.wall)

    def pass_s(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds


def test_the_newest_report_counts() -> None:
    roll = Clocks().roll()
    roll.apply(record(REPORT), live=True)
    roll.apply(record(replace(REPORT, ready=True)), live=True)

    (worker,) = roll.workers()
    assert worker.report.ready
    assert worker.alive


def test_silent_for_ten_seconds_is_gone_and_for_a_minute_forgotten() -> None:
    clocks = Clocks()
    roll = clocks.roll()
    roll.apply(record(REPORT), live=True)

    clocks.pass_s(10.0)
    assert roll.workers()[0].alive
    clocks.pass_s(0.1)
    assert not roll.workers()[0].alive
    clocks.pass_s(50.0)
    assert roll.workers() == []


def test_a_clean_stop_is_forgotten_at_once() -> None:
    roll = Clocks().roll()
    roll.apply(record(REPORT), live=True)
    roll.apply(record(None), live=True)

    assert roll.workers() == []


def test_a_report_of_the_past_is_as_old_as_its_timestamp() -> None:
    clocks = Clocks()
    roll = clocks.roll()
    roll.apply(record(REPORT, at_s=clocks.wall - 30), live=False)
    roll.apply(record(replace(REPORT, worker="w-2"), at_s=clocks.wall + 30, key=b"w-2"), live=False)

    assert [(worker.report.worker, worker.alive) for worker in roll.workers()] == [("w-1", False), ("w-2", True)]


def test_a_live_report_counts_whatever_its_workers_clock_says() -> None:
    roll = Clocks().roll()
    roll.apply(record(REPORT, at_s=0.0), live=True)

    assert roll.workers()[0].alive


def test_foreign_records_are_ignored() -> None:
    roll = Clocks().roll()
    roll.apply(SimpleNamespace(key=b"x", value=b"\xff", timestamp=0, offset=0), live=True)
    roll.apply(record(REPORT, key=None), live=True)

    assert roll.workers() == []


def worker(name: str, *flows: Flow, silent_s: float = 0.0) -> Worker:
    snapshots = Rates().added([flow.snapshot() for flow in flows], 0.0)
    for snapshot in snapshots:
        snapshot["rates"] = {"received_per_s": 1.5, "sent_per_s": 1.0}
    return Worker(replace(REPORT, worker=name, flows=snapshots), silent_s)


def flow(name: str, kind: Any, state: Any, **counts: Any) -> Flow:
    made = Flow(name, kind, state)
    for count, value in counts.items():
        setattr(made, count, value)
    return made


def test_flows_are_summed_over_live_workers() -> None:
    merged = merged_flows(
        [
            worker("a", flow("http", "source", "running", received=5, rejected={"bad_body": 1}, last_event_at_ms=7)),
            worker("b", flow("http", "source", "running", received=3, rejected={"bad_body": 2, "too_large": 1})),
            worker("c", flow("http", "source", "running", received=1000), silent_s=11.0),
        ]
    )

    (http,) = merged["sources"]
    assert (http["received"], http["rejected"], http["last_event_at_ms"]) == (8, {"bad_body": 3, "too_large": 1}, 7)
    assert http["rates"] == {"received_per_s": 3.0, "sent_per_s": 2.0}
    assert [part["worker"] for part in http["workers"]] == ["a", "b"]
    assert (merged["routes"], merged["destinations"]) == ([], [])


def test_spools_are_summed_and_the_oldest_event_is_the_oldest_of_all() -> None:
    merged = merged_flows(
        [
            worker("a", flow("spool", "destination", "running")),
            worker(
                "b", flow("spool", "destination", "running", in_spool=5, in_spool_bytes=70, oldest_in_spool_at_ms=9)
            ),
            worker("c", flow("spool", "destination", "running", in_spool=1, in_spool_bytes=7, oldest_in_spool_at_ms=8)),
        ]
    )

    (spool,) = merged["destinations"]
    assert (spool["in_spool"], spool["in_spool_bytes"], spool["oldest_in_spool_at_ms"]) == (6, 77, 8)
    assert [part["in_spool"] for part in spool["workers"]] == [0, 5, 1]


def test_the_worst_state_and_the_newest_error_are_shown() -> None:
    merged = merged_flows(
        [
            worker("a", flow("history", "destination", "running", last_error="old", last_error_at_ms=1)),
            worker("b", flow("history", "destination", "backing off", last_error="new", last_error_at_ms=2)),
        ]
    )

    (history,) = merged["destinations"]
    assert (history["state"], history["last_error"], history["last_error_at_ms"]) == ("backing off", "new", 2)


def test_no_workers_no_flows() -> None:
    assert merged_flows([]) == {"sources": [], "routes": [], "destinations": []}
