"""What every worker tells the others, every two seconds, through a compacted topic."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service

INTERVAL_S = 2.0
SEND_TIMEOUT_S = 5.0
RATE_OVER_S = 10.0  # rates are means over this long: smooth enough to read, quick enough to see a change

# Every report replaces the worker's last one. Compaction never touches the active segment, so segments are small and
# short-lived, and `delete` clears what workers that are no more have left.
WORKERS_TOPIC_CONFIG = {
    "cleanup.policy": "compact,delete",
    "retention.ms": "3600000",
    "segment.ms": "600000",
    "segment.bytes": "16777216",
}


def workers_topic(app_id: str) -> str:
    """The topic of an application's workers; one partition."""
    return f"{app_id}-workers"


def new_worker_id() -> str:
    """A name for this process that no other has and a person recognises: host, process id, four random digits."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker says about itself; all values as JSON has them."""

    worker: str
    host: str
    pid: int
    web: str  # its address, http://host:port, or "" without web
    roles: list[str]
    started_at_ms: int
    version: str
    flows: list[dict[str, Any]] = field(default_factory=list)  # telemetry.Flow.snapshot() each, with "rates" added
    partitions: dict[str, list[int]] = field(default_factory=dict)  # group -> partitions of raw-log that it has
    ready: bool = False
    reasons: list[str] = field(default_factory=list)  # why it is not ready

    def to_json(self) -> bytes:
        """The topic's value. Text that is not UTF-8 (errors may quote hostile lines) is replaced, not refused."""
        return orjson.dumps(_encodable(asdict(self)))

    @classmethod
    def from_json(cls, value: bytes) -> WorkerReport:
        """The report of a record; keys that only a newer version knows are ignored. Raises ValueError."""
        said = orjson.loads(value)
        if not isinstance(said, dict):
            raise ValueError("a worker's report must be a JSON object")
        known = {f.name: said[f.name] for f in fields(cls) if f.name in said}
        try:
            report = cls(**known)
        except TypeError as exc:
            raise ValueError(f"a worker's report lacks something: {exc}") from exc
        texts = (report.worker, report.host, report.web, report.version)
        if not all(isinstance(text, str) for text in texts) or not all(isinstance(f, dict) for f in report.flows):
            raise ValueError("a worker's report has a value of the wrong type")
        return report


class Rates:
    """Records per second of each flow over the last RATE_OVER_S, from the counters as they were at each report."""

    def __init__(self, over_s: float = RATE_OVER_S) -> None:
        self._over_s = over_s
        self._seen: deque[tuple[float, dict[tuple[str, str], tuple[int, int]]]] = deque()

    def added(self, flows: Sequence[Mapping[str, Any]], now_s: float) -> list[dict[str, Any]]:
        """The flows with `rates` (`received_per_s`, `sent_per_s`) added; zero at first sight."""
        counts = {(flow["kind"], flow["name"]): (flow["received"], flow["sent"]) for flow in flows}
        self._seen.append((now_s, counts))
        # The oldest kept is the newest that is at least `over_s` old.
        while len(self._seen) > 2 and now_s - self._seen[1][0] >= self._over_s:
            self._seen.popleft()
        then_s, before = self._seen[0]
        elapsed_s = now_s - then_s
        with_rates = []
        for flow in flows:
            key = (flow["kind"], flow["name"])
            received, sent = counts[key]
            received_before, sent_before = before.get(key, (received, sent))
            with_rates.append(
                {
                    **flow,
                    "rates": {
                        "received_per_s": _per_s(received - received_before, elapsed_s),
                        "sent_per_s": _per_s(sent - sent_before, elapsed_s),
                    },
                }
            )
        return with_rates


class Heartbeat(Service):
    """Publishes this worker's report every INTERVAL_S; one that can't be sent is dropped, the next one tries again.

    Kafka away never fails the worker. On a clean stop the worker's key is deleted, so that the others drop it at once.
    """

    def __init__(
        self,
        servers: Sequence[str],
        topic: str,
        collect: Callable[[], WorkerReport],
        *,
        connection: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._servers = list(servers)
        self._topic = topic
        self._collect = collect
        self._connection = dict(connection or {})
        self._rates = Rates()
        self._producer: AIOKafkaProducer | None = None
        self._sending = asyncio.Lock()
        self._failing = False
        self._topic_seen = False
        self.latest: WorkerReport | None = None  # newest report, whether Kafka took it or not

    @Service.task
    async def _beat(self) -> None:
        while not self.should_stop:
            self.latest = self.report()
            async with self._sending:
                if not self.should_stop:
                    await self._publish(self.latest.worker, self.latest.to_json())
            await self.sleep(INTERVAL_S)

    def report(self) -> WorkerReport:
        """This worker's report as of now, with rates."""
        report = self._collect()
        return replace(report, flows=self._rates.added(report.flows, time.monotonic()))

    async def on_stop(self) -> None:
        """Say goodbye, in bounded time."""
        async with self._sending:
            if self.latest is not None and self._producer is not None:
                await self._publish(self.latest.worker, None)
            await self._drop_producer()

    async def _publish(self, worker: str, value: bytes | None) -> None:
        try:
            await asyncio.wait_for(self._send(worker.encode(), value), SEND_TIMEOUT_S)
        except (KafkaError, OSError, asyncio.TimeoutError) as exc:
            await self._drop_producer()
            if not self._failing:
                self.log.warning(
                    "This worker's reports are not reaching Kafka, trying on: topic=%s %r", self._topic, exc
                )
            self._failing = True
        else:
            if self._failing:
                self.log.info("This worker's reports reach Kafka again: topic=%s", self._topic)
            self._failing = False

    async def _send(self, key: bytes, value: bytes | None) -> None:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._servers,
                acks=1,  # the next report repeats what a lost one said
                request_timeout_ms=int(SEND_TIMEOUT_S * 1000),
                **self._connection,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        if not self._topic_seen:
            # Not before it is there: some brokers would create it by themselves, with a configuration of their own.
            cluster = await self._producer.client.fetch_all_metadata()
            self._topic_seen = self._topic in cluster.topics()
        if self._topic_seen:
            await self._producer.send_and_wait(self._topic, value, key=key, partition=0)

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, OSError, asyncio.TimeoutError):
                await asyncio.wait_for(producer.stop(), 1.0)


def _per_s(records: int, elapsed_s: float) -> float:
    return round(max(0, records) / elapsed_s, 1) if elapsed_s > 0 else 0.0


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(str(k)): _encodable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_encodable(v) for v in value]
    if isinstance(value, int) and value.bit_length() > 63:
        return float(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    return str(value)
