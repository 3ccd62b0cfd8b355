"""Which workers there are and what they do, from their reports; what any worker or command can tell of all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from app.brokers import Brokers, stopped
from app.errors import AppError
from app.heartbeat import INTERVAL_S, WorkerReport
from app.reading import read
from streaming.pacing import pace

GONE_AFTER_S = 10.0  # five reports missed
FORGOTTEN_AFTER_S = 60.0
LOOK_BACK_RECORDS = 1000  # over a minute of reports of thirty workers
POLL_MS = 1000


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker's newest report, and how long ago it came."""

    report: WorkerReport
    silent_s: float

    @property
    def alive(self) -> bool:
        """Whether it was heard of within GONE_AFTER_S."""
        return self.silent_s <= GONE_AFTER_S

    def json(self) -> dict[str, Any]:
        """For the API, without the flows."""
        said = asdict(self.report)
        del said["flows"]
        return {**said, "alive": self.alive, "silent_s": round(self.silent_s, 1)}


class Roll:
    """The newest report of each worker, as records of the workers' topic are applied in order.

    A record read live was said now. One read from the topic's past was said when its timestamp says; only for those do
    the workers' clocks matter, until each has been heard live.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._heard: dict[bytes, tuple[WorkerReport, float]] = {}

    def apply(self, record: ConsumerRecord, *, live: bool) -> None:
        """Take one record in; one that is no report is ignored (somebody else wrote to the topic)."""
        if record.key is None:
            return
        if record.value is None:
            self._heard.pop(record.key, None)
            return
        try:
            report = WorkerReport.from_json(record.value)
        except ValueError:
            return
        age_s = 0.0 if live else max(0.0, self._wall() - record.timestamp / 1000)
        self._heard[record.key] = (report, self._monotonic() - age_s)

    def workers(self) -> list[Worker]:
        """Everyone heard of in the last FORGOTTEN_AFTER_S, in the order they were started."""
        now = self._monotonic()
        self._heard = {k: heard for k, heard in self._heard.items() if now - heard[1] <= FORGOTTEN_AFTER_S}
        workers = [Worker(report, max(0.0, now - at)) for report, at in self._heard.values()]
        return sorted(workers, key=lambda worker: (worker.report.started_at_ms, worker.report.worker))


class Cluster(Service):
    """Follows the workers' topic, in no group; Kafka away only makes what it knows older.

    `own` gives this worker's own newest report, which is told even when Kafka can't be reached.
    """

    def __init__(self, brokers: Brokers, topic: str, own: Callable[[], WorkerReport | None], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._brokers = brokers
        self._topic = topic
        self._own = own
        self._roll = Roll()
        self._failing = False

    def workers(self) -> list[Worker]:
        """All that are, or were a minute ago; this one always."""
        own = self._own()
        if own is None:
            return self._roll.workers()
        others = [worker for worker in self._roll.workers() if worker.report.worker != own.worker]
        return sorted(
            [*others, Worker(own, 0.0)], key=lambda worker: (worker.report.started_at_ms, worker.report.worker)
        )

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            try:
                await self._follow_topic()
            except (AppError, KafkaError, OSError, asyncio.TimeoutError) as exc:
                if not self._failing:
                    self.log.warning("Other workers' reports can't be read, trying on: topic=%s %s", self._topic, exc)
                self._failing = True
            await self.sleep(INTERVAL_S)

    async def _follow_topic(self) -> None:
        tp, start, end = await _newest_stretch(self._brokers, self._topic)
        consumer = self._brokers.consumer(auto_offset_reset="latest")
        try:
            await asyncio.wait_for(consumer.start(), self._brokers.timeout_s)
            pace(consumer)
            consumer.assign([tp])
            consumer.seek(tp, start)
            while not self.should_stop:
                fetched = await consumer.getmany(tp, timeout_ms=POLL_MS)
                self._failing = False
                for record in fetched.get(tp, ()):
                    self._roll.apply(record, live=record.offset >= end)
        finally:
            await stopped(consumer.stop())


async def read_workers(brokers: Brokers, topic: str) -> list[Worker]:
    """The workers as their topic tells now, for a command. Raises TopicMissing, BrokersUnavailable."""
    tp, start, end = await _newest_stretch(brokers, topic)
    roll = Roll()
    async for _, records in read(brokers, {tp: (start, end)}):
        for record in records:
            roll.apply(record, live=False)
    return roll.workers()


async def _newest_stretch(brokers: Brokers, topic: str) -> tuple[TopicPartition, int, int]:
    begins, ends = await brokers.beginnings(topic), await brokers.ends(topic)
    return TopicPartition(topic, 0), max(begins[0], ends[0] - LOOK_BACK_RECORDS), ends[0]


# The worst state of a flow's workers is the flow's: it is what an operator has to look at.
STATES_WORST_FIRST = ("failed", "backing off", "recovering", "starting", "stopped", "running")
_COUNTS = ("received", "accepted", "sent", "in_spool", "in_spool_bytes", "received_bytes", "sent_bytes")


def merged_flows(workers: Sequence[Worker]) -> dict[str, list[dict[str, Any]]]:
    """`sources`, `routes` and `destinations`: each flow once, summed over the workers that are alive.

    Counters count since each worker's start, so that sums fall when a worker leaves.
    """
    merged: dict[tuple[str, str], list[tuple[WorkerReport, Mapping[str, Any]]]] = {}
    for worker in workers:
        if worker.alive:
            for flow in worker.report.flows:
                merged.setdefault((str(flow.get("kind")), str(flow.get("name"))), []).append((worker.report, flow))
    answer: dict[str, list[dict[str, Any]]] = {"sources": [], "routes": [], "destinations": []}
    for (kind, name), parts in sorted(merged.items(), key=lambda item: item[0]):
        if f"{kind}s" in answer:
            answer[f"{kind}s"].append(_merged(name, parts))
    return answer


def _merged(name: str, parts: Sequence[tuple[WorkerReport, Mapping[str, Any]]]) -> dict[str, Any]:
    flows = [flow for _, flow in parts]
    states = [flow.get("state") for flow in flows]
    failed = max(flows, key=lambda flow: flow.get("last_error_at_ms") or 0)
    rejected: dict[str, int] = {}
    for flow in flows:
        for reason, records in (flow.get("rejected") or {}).items():
            rejected[reason] = rejected.get(reason, 0) + records
    rates = [flow.get("rates") or {} for flow in flows]
    return {
        "name": name,
        "state": next((state for state in STATES_WORST_FIRST if state in states), "unknown"),
        **{count: sum(flow.get(count) or 0 for flow in flows) for count in _COUNTS},
        "rejected": rejected,
        "rates": {rate: round(sum(r.get(rate) or 0.0 for r in rates), 1) for rate in ("received_per_s", "sent_per_s")},
        "oldest_in_spool_at_ms": min(
            (at for at in (flow.get("oldest_in_spool_at_ms") for flow in flows) if at), default=None
        ),
        "last_event_at_ms": max(flow.get("last_event_at_ms") or 0 for flow in flows) or None,
        "last_error": failed.get("last_error"),
        "last_error_at_ms": failed.get("last_error_at_ms"),
        "workers": [
            {
                "worker": report.worker,
                "state": flow.get("state"),
                "received": flow.get("received"),
                "sent": flow.get("sent"),
                "in_spool": flow.get("in_spool") or 0,
                "last_error": flow.get("last_error"),
                "notes": flow.get("notes") or {},
            }
            for report, flow in parts
        ],
    }
