"""`/metrics`: what this worker handles, in Prometheus' text format. docs/metrics.md lists every name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from faust.web import Request
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from app.answers import Answer, page
from app.errors import AppError
from app.lag import Lag
from app.services import Services
from telemetry.flow import Flow

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LAG_WITHIN_S = 2.5  # of the ten seconds that Prometheus waits for a scrape
FLOW = ["flow", "kind"]
STATES = ("starting", "running", "recovering", "backing off", "stopped", "failed")


def register(app: Any, services: Services) -> None:
    """Add the view. A scrape asks the brokers for the lag; while they are away there is none, not an old one."""
    registry, collector = new_registry(services)

    @page(app, "/metrics", "metrics")
    async def metrics(_request: Request) -> Answer:
        """Counters since this worker's start, the lag of the groups, and the process's use of memory, files and CPU."""
        collector.lag = None
        with suppress(AppError, asyncio.TimeoutError):
            collector.lag = await asyncio.wait_for(services.lag.get(), LAG_WITHIN_S)
        return Answer(scraped(registry), CONTENT_TYPE)


def new_registry(services: Services) -> tuple[CollectorRegistry, SluiceCollector]:
    """What one scrape shows: our own figures and the process's."""
    registry = CollectorRegistry(auto_describe=False)
    collector = SluiceCollector(services)
    registry.register(collector)
    ProcessCollector(namespace="sluice", registry=registry)
    return registry, collector


def scraped(registry: CollectorRegistry) -> bytes:
    """All figures as of now, in Prometheus' text format."""
    return generate_latest(registry)


class SluiceCollector(Collector):
    """Reads the counters when it is asked for them, so that keeping them costs nothing more."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.lag: Lag | None = None

    def collect(self) -> Iterator[Metric]:
        """Every metric but the process's."""
        info = InfoMetricFamily("sluice", "This worker.")
        settings = self._services.settings
        info.add_metric(
            [],
            {"version": self._services.version, "roles": ",".join(settings.roles), "app_id": settings.app_id},
        )
        yield info
        report = self._services.health()
        yield GaugeMetricFamily("sluice_well", "1 while the worker is well (/health).", value=report.well)
        yield GaugeMetricFamily(
            "sluice_ready",
            "1 while partitions are assigned and tables recovered (/ready asks the brokers too).",
            report.ready,
        )
        yield from _flow_metrics(list(self._services.flows))
        yield GaugeMetricFamily(
            "sluice_brokers_up", "1 when the brokers told the lag for this scrape.", value=self.lag is not None
        )
        yield from _lag_metrics(self.lag or {})


def _flow_metrics(flows: list[Flow]) -> Iterator[Metric]:
    counters = {
        "received": "Records that came in.",
        "accepted": "Of sources: events that their senders were told are taken.",
        "sent": "Records handed on and acknowledged.",
        "received_bytes": "Bytes of the records that came in.",
        "sent_bytes": "Bytes handed on and acknowledged.",
    }
    for count, text in counters.items():
        family = CounterMetricFamily(f"sluice_flow_{count}", text, labels=FLOW)
        for flow in flows:
            family.add_metric([flow.name, flow.kind], getattr(flow, count))
        yield family
    gauges = {
        "in_spool": "Events on the local disk that Kafka does not have yet.",
        "in_spool_bytes": "Bytes that they take there; told by the flow `spool` only.",
    }
    for gauge, text in gauges.items():
        level = GaugeMetricFamily(f"sluice_flow_{gauge}", text, labels=FLOW)
        for flow in flows:
            level.add_metric([flow.name, flow.kind], getattr(flow, gauge))
        yield level
    rejected = CounterMetricFamily(
        "sluice_flow_rejected", "Records not handed on, by reason.", labels=[*FLOW, "reason"]
    )
    state = GaugeMetricFamily("sluice_flow_state", "1 for the state that the flow is in.", labels=[*FLOW, "state"])
    oldest = GaugeMetricFamily(
        "sluice_flow_in_spool_oldest_timestamp_seconds",
        "When the oldest event in the spool came; none while it is empty.",
        labels=FLOW,
    )
    last_event = GaugeMetricFamily(
        "sluice_flow_last_event_timestamp_seconds", "When the newest record came; none before the first.", labels=FLOW
    )
    last_error = GaugeMetricFamily(
        "sluice_flow_last_error_timestamp_seconds", "When the newest error was; none before the first.", labels=FLOW
    )
    for flow in flows:
        for reason, records in list(flow.rejected.items()):
            rejected.add_metric([flow.name, flow.kind, reason], records)
        for each in STATES:
            state.add_metric([flow.name, flow.kind, each], float(flow.state == each))
        if flow.oldest_in_spool_at_ms is not None:
            oldest.add_metric([flow.name, flow.kind], flow.oldest_in_spool_at_ms / 1000)
        if flow.last_event_at_ms is not None:
            last_event.add_metric([flow.name, flow.kind], flow.last_event_at_ms / 1000)
        if flow.last_error_at_ms is not None:
            last_error.add_metric([flow.name, flow.kind], flow.last_error_at_ms / 1000)
    yield from (rejected, state, oldest, last_event, last_error)


def _lag_metrics(lag: Lag) -> Iterator[Metric]:
    labels = ["group", "topic", "partition"]
    behind = GaugeMetricFamily("sluice_group_lag_records", "Records that the group has still to read.", labels=labels)
    committed = GaugeMetricFamily("sluice_group_committed_offset", "Next offset that the group reads.", labels=labels)
    end = GaugeMetricFamily("sluice_group_end_offset", "Next offset that the partition gives.", labels=labels)
    for group, topics in lag.items():
        for topic, positions in topics.items():
            for partition, at in positions.items():
                names = [group, topic, str(partition)]
                behind.add_metric(names, at.lag)
                end.add_metric(names, at.end)
                if at.committed is not None:
                    committed.add_metric(names, at.committed)
    yield from (behind, committed, end)
