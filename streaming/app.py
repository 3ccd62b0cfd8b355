"""A Faust application that consumes by the batch: one per consumer group in a worker."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Literal

import faust
from faust.app.base import BootStrategy
from faust.types import TP
from mode.services import ServiceT
from yarl import URL

from streaming.batches import BatchTopic
from streaming.consumer import BatchConsumer, BatchTransport
from streaming.lanes import HandlerFactory, Lanes
from streaming.schema import BatchSchema

SESSION_TIMEOUT_S = 10.0  # how long a dead worker's partitions wait for their next owner
REBALANCE_TIMEOUT_S = 40.0  # how long the others wait for one that finishes its lanes
DAY_S = 86_400.0
COMMITTED_TIMEOUT_S = 15.0


class BatchBoot(BootStrategy):
    """Starts no Faust producer (lanes have their own) and stops lanes before the consumer."""

    enable_kafka_producer = False
    app: BatchApp

    def server(self) -> Iterable[ServiceT]:
        """Return the services of the application in start order."""
        return chain(super().server(), self.app.lane_groups)

    def kafka_consumer(self) -> Iterable[ServiceT]:
        """Return the consumer alone: no leader election, no replies."""
        return [self.app.consumer]


class BatchApp(faust.App):
    """One consumer group. Topics declared with `batch_topic` are consumed a fetched batch at a time.

    At-least-once by itself: a batch that was not acknowledged before a crash is delivered again. Exactly once is made
    by the handlers (transactions, files named by offsets).
    """

    BootStrategy = BatchBoot
    mundane_level = "debug"

    def __init__(self, group: str, *, broker: Sequence[str], max_poll_records: int = 8_000) -> None:
        self.batched: dict[str, BatchTopic] = {}
        self.lane_groups: list[Lanes] = []
        self.bootstrap_servers = list(broker)
        super().__init__(
            group,
            broker=[URL(f"kafka://{address}") for address in broker],
            autodiscover=False,
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            broker_client_id=f"sluice-{socket.gethostname()}",
            broker_session_timeout=SESSION_TIMEOUT_S,
            broker_heartbeat_interval=2.0,
            broker_rebalance_timeout=REBALANCE_TIMEOUT_S,
            broker_request_timeout=40.0,
            # A worker without partitions stops polling; it must not leave the group for that.
            broker_max_poll_interval=DAY_S,
            broker_max_poll_records=max_poll_records,
            broker_commit_interval=1.0,
            consumer_auto_offset_reset="earliest",
            consumer_max_fetch_size=1024 * 1024,
            stream_recovery_delay=0.0,
            stream_wait_empty=False,  # lanes finish their batches themselves, within a budget
        )
        self.on_partitions_assigned.connect(self._lanes_assigned)
        self.on_partitions_revoked.connect(self._lanes_revoked)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def batch_topic(self, spec: BatchTopic) -> Any:
        """Declare a topic that is consumed by the batch; returns the Faust topic."""
        self.batched[spec.name] = spec
        return self.topic(spec.name, schema=BatchSchema(), internal=False, allow_empty=True)

    def lane_agent(
        self,
        name: str,
        topic: str,
        handler_factory: HandlerFactory,
        *,
        close_within_s: float,
        offsets: Literal["acks", "lane"] = "acks",
        may_lag: bool = False,
    ) -> Lanes:
        """Register the agent `name`, which hands each batch of `topic` to the lane of its partition."""
        channel = self.batch_topic(BatchTopic(topic, offsets=offsets, held=True))
        lanes = Lanes(self, topic, handler_factory, close_within_s=close_within_s, may_lag=may_lag)
        self.lane_groups.append(lanes)

        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                lanes.deliver(event)

        agent.__name__ = name
        self.agent(channel, name=name)(agent)
        return lanes

    async def _lanes_assigned(self, _app: Any, assigned: set[TP], **_: Any) -> None:
        for lanes in self.lane_groups:
            await lanes.on_assigned(assigned)

    async def _lanes_revoked(self, _app: Any, revoked: set[TP], **_: Any) -> None:
        for lanes in self.lane_groups:
            await lanes.on_revoked(revoked)

    async def on_first_start(self) -> None:
        """Make none of Faust's data directories: the state is elsewhere."""

    async def _stop_consumer(self) -> None:
        """Stop fetching, then let every lane finish and commit; Faust stops the rest after it."""
        await super()._stop_consumer()
        for lanes in self.lane_groups:
            await lanes.close_all()

    async def committed(self, tp: TP) -> tuple[int | None, str]:
        """The group's committed offset of an assigned partition, and its metadata. Raises KafkaError, TimeoutError."""
        consumer: BatchConsumer = self.consumer
        return await consumer.committed(tp, COMMITTED_TIMEOUT_S)

    @property
    def assigned(self) -> bool:
        """Whether the group has answered this worker at least once (with or without partitions)."""
        return self._assignment is not None
