"""What Prometheus reads."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.brokers import Position
from app.health import Check, HealthReport
from app.views.metrics import new_registry, scraped
from config.settings import Settings
from telemetry.flow import Flow

ROOT = Path(__file__).parents[4]


def scrape(flows: list[Flow], lag: Any) -> dict[str, dict[tuple[str, ...], float]]:
    services: Any = SimpleNamespace(
        settings=Settings(),
        version="0.1.0",
        flows=flows,
        health=lambda: HealthReport([Check("process", True, vital=True), Check("tables", False)]),
    )
    registry, collector = new_registry(services)
    collector.lag = lag
    values: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(scraped(registry).decode()):
        for sample in family.samples:
            values.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return values


def some_flow() -> Flow:
    flow = Flow("http", "source", "running", received=7, sent=5, rejected={"bad_body": 2}, received_bytes=70)
    flow.last_event_at_ms = 1500
    return flow


def test_flows() -> None:
    values = scrape([some_flow()], None)

    assert values["sluice_flow_received_total"] == {("http", "source"): 7}
    assert values["sluice_flow_sent_total"] == {("http", "source"): 5}
    assert values["sluice_flow_received_bytes_total"] == {("http", "source"): 70}
    assert values["sluice_flow_rejected_total"] == {("http", "source", "bad_body"): 2}
    assert values["sluice_flow_last_event_timestamp_seconds"] == {("http", "source"): 1.5}
    assert [labels[2] for labels, value in values["sluice_flow_state"].items() if value] == ["running"]


def test_lag_of_the_groups() -> None:
    values = scrape([], {"sluice-monitor": {"raw-log": {0: Position(3, 0, 5), 1: Position(None, 0, 4)}}})

    assert values["sluice_group_lag_records"] == {
        ("sluice-monitor", "0", "raw-log"): 2,
        ("sluice-monitor", "1", "raw-log"): 4,
    }
    assert values["sluice_group_committed_offset"] == {("sluice-monitor", "0", "raw-log"): 3}
    assert values["sluice_brokers_up"] == {(): 1}


def test_with_the_brokers_away_there_is_no_lag_rather_than_an_old_one() -> None:
    values = scrape([], None)

    assert values["sluice_brokers_up"] == {(): 0}
    assert "sluice_group_lag_records" not in values


def test_the_process_and_its_health() -> None:
    values = scrape([], None)

    assert values["sluice_process_resident_memory_bytes"][()] > 1 << 20
    assert values["sluice_process_open_fds"][()] > 2
    assert (values["sluice_well"][()], values["sluice_ready"][()]) == (1, 0)


def test_every_metric_is_documented_and_no_other() -> None:
    flow = some_flow()
    flow.error("why")
    flow.oldest_in_spool_at_ms = 5
    names = set(scrape([flow], {"g": {"raw-log": {0: Position(3, 0, 5)}}}))

    documented = set(re.findall(r"^\| `(sluice_\w+)`", (ROOT / "docs/metrics.md").read_text("utf-8"), re.MULTILINE))

    assert documented == names
