"""What `status` calls a problem."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from app.brokers import Position
from app.cluster import Worker, merged_flows
from app.commands.status import as_text, gap_lines, problems
from app.heartbeat import Rates, WorkerReport
from streaming.marker import Gap
from telemetry.flow import Flow

GROUPS = ["sluice-monitor", "sluice-history"]
REPORT = WorkerReport(
    "w-1", "h", 1, "", ["monitor"], 0, "0.1.0", partitions={group: [0] for group in GROUPS}, ready=True
)
NO_LAG = {group: {"raw-log": {0: Position(5, 0, 5)}} for group in GROUPS}


def found(*workers: Worker, lag: Any = NO_LAG) -> list[str]:
    return problems(list(workers), merged_flows(workers), lag, GROUPS)


def test_all_is_well() -> None:
    assert found(Worker(REPORT, 0.5)) == []


def test_no_worker() -> None:
    assert found() == ["no worker is running: start one with `faust -A app worker`"]
    assert found(Worker(REPORT, 11.0)) == ["no worker is running: start one with `faust -A app worker`"]


def test_a_worker_that_went_silent() -> None:
    assert found(Worker(REPORT, 1.0), Worker(replace(REPORT, worker="w-2"), 33.0)) == [
        "worker w-2 has not been heard of for 33 s"
    ]


def test_a_worker_that_is_not_ready() -> None:
    assert found(Worker(replace(REPORT, ready=False, reasons=["tables: recovering"]), 1.0)) == [
        "worker w-1 is not ready: tables: recovering"
    ]


def test_a_flow_in_trouble() -> None:
    flow = Flow("history", "destination", "backing off")
    flow.error("NameNode away")

    assert found(Worker(replace(REPORT, flows=[flow.snapshot()]), 1.0)) == [
        "destination history is backing off: NameNode away"
    ]


def test_the_spool_is_shown_with_its_size_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    http = Flow("http", "source", "running", received=1500, accepted=1400, sent=160, in_spool=1240)
    http.reject("bad_body", 100)
    http.last_event_at_ms = 1_795_000_000_000
    monkeypatch.setattr("app.commands.status.time", SimpleNamespace(time=lambda: 1_795_000_061.0))
    spool = Flow("spool", "destination", in_spool=1240, in_spool_bytes=98_765, oldest_in_spool_at_ms=1_795_000_000_000)
    workers = [Worker(replace(REPORT, flows=Rates().added([http.snapshot(), spool.snapshot()], 0.0)), 1.0)]

    said = as_text(workers, merged_flows(workers), {}, [])

    assert "1,240 events (98,765 bytes) are in local spools for Kafka, the oldest for 61 s." in said
    lines = {line.split()[0]: line.split() for line in said.splitlines() if line}
    assert " ".join(lines["http"]) == "http source running 1,500 1,400 160 1,240 100 0.0 2026-11-18 11:06:40 -"


def test_accepted_gaps_are_shown_and_are_no_problem() -> None:
    workers = [Worker(REPORT, 0.5)]
    gaps = gap_lines(
        "sluice-monitor", {1: [Gap(40, 74, "gap accepted 40-74"), Gap(90, 99, "")], 3: [Gap(0, 7, "\x1b[2J")]}
    )

    said = as_text(workers, merged_flows(workers), NO_LAG, [], gaps)

    assert [line for line in said.splitlines() if line.startswith("raw-log")] == [
        f"raw-log[{where}: in no window and no monitoring topic ({said_then})"
        for where, said_then in (
            ("1] accepted gap of sluice-monitor: 40 to 74", "gap accepted 40-74"),
            ("1] accepted gap of sluice-monitor: 90 to 99", "the offset was set without a word"),
            ("3] accepted gap of sluice-monitor: 0 to 7", r"\x1b[2J"),
        )
    ]
    assert said.endswith("\n\nAll is well.")


def test_a_changelog_that_is_too_long_to_look_through() -> None:
    assert gap_lines("sluice-monitor", None) == [
        "The changelog of sluice-monitor is too long to look for accepted gaps here: `faust -A app verify` lists them."
    ]


def test_lag_is_a_problem_only_where_nobody_reads() -> None:
    lag = {group: {"raw-log": {0: Position(5, 0, 1205)}} for group in GROUPS}
    reading = replace(REPORT, partitions={"sluice-monitor": [0], "sluice-history": []})

    assert found(Worker(reading, 1.0), lag=lag) == [
        "group sluice-history is 1,200 records behind and no worker reads for it"
    ]


def test_before_the_first_topic() -> None:
    assert found(Worker(REPORT, 1.0), lag={}) == ["the topic raw-log does not exist yet"]
