"""Faust's Kafka consumer, changed so that a fetched batch of a partition is one message.

Private parts of Faust 0.15.3 used here, each held by tests/unit/streaming/test_faust_assumptions.py and by the
integration tests of the batch layer: `Consumer.getmany`, `_wait_next_records`, `_new_offset`,
`_filter_tps_with_pending_acks`, `_add_gap`, `_read_offset`, `_committed_offset`, `_thread`;
`AIOKafkaConsumerThread._create_worker_consumer`, `_ensure_consumer`, `call_thread`, `thread_loop`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import aiokafka
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaConnectionError, KafkaError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest
from faust.transport.consumer import ensure_TP
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message
from mode.utils.futures import maybe_async

from streaming.batches import Batch, Delivery
from streaming.fetched import keep_as_fetched
from streaming.pacing import pace
from streaming.stopping import close_for_sure

if TYPE_CHECKING:
    from streaming.app import BatchApp

log = logging.getLogger(__name__)

# A poll ends with the first record. A partition that is released, or has room again, during a poll joins the next one.
POLL_S = 0.5
POLL_HELD_S = 0.1  # while some partition is held
POLL_FULL_S = 0.02  # while some partition is full
COMMIT_TIMEOUT_S = 5.0
CONNECT_BACKOFF_S = (0.5, 1.0, 2.0, 4.0)


class BatchConsumerThread(AIOKafkaConsumerThread):
    """The thread in which aiokafka runs; heartbeats go on there while the application's loop is busy."""

    app: BatchApp
    mundane_level = "debug"

    async def on_start(self) -> None:
        """Connect; a broker that is away is waited for, and said once a try."""
        self.time_started = asyncio.get_running_loop().time()
        attempt = 0
        while not self.should_stop:
            consumer = self._create_consumer(loop=self.thread_loop)
            try:
                await consumer.start()
            except (KafkaConnectionError, OSError) as exc:
                await consumer.stop()
                pause_s = CONNECT_BACKOFF_S[min(attempt, len(CONNECT_BACKOFF_S) - 1)]
                log.warning("No Kafka broker answers group=%s, next try in %s s: %s", self.app.conf.id, pause_s, exc)
                attempt += 1
                await asyncio.sleep(pause_s)
            else:
                keep_as_fetched(consumer, self.app.batched)
                pace(consumer)
                close_for_sure(consumer)
                self._consumer = consumer
                return

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `fun` on the thread's loop.

        mode's own method queue wakes up through a one-second keep-alive when the queue and the thread disagree;
        `run_coroutine_threadsafe` wakes the loop at once.
        """

        async def call() -> Any:
            return await maybe_async(fun(*args, **kwargs))

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(call(), self.thread_loop))

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        conf = self.app.conf
        # Faust's own code sets this from the consumer; leadership and commit logic read it.
        self._assignor = StickyPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=self.app.bootstrap_servers,
            partition_assignment_strategy=[StickyPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=500,
            metadata_max_age_ms=30_000,
            check_crcs=conf.broker_check_crcs,
        )

    async def seek_now(self, tp: TP, offset: int) -> None:
        """Set the position of an assigned partition; on the thread's own loop, as aiokafka requires."""

        async def seek() -> None:
            self._ensure_consumer().seek(aiokafka.TopicPartition(tp.topic, tp.partition), offset)

        await self.call_thread(seek)

    async def committed(self, tp: TP, refused: list[KafkaError]) -> tuple[int | None, str]:
        """The group's committed offset and its metadata; None where it has never committed.

        Not aiokafka's own question: it overlooks an error of the whole group, and a coordinator that is still loading
        would look like a group that has never committed. Retries until cancelled; `refused` gets what each try met.
        """

        async def ask() -> tuple[int | None, str]:
            coordinator = self._ensure_consumer()._coordinator
            while True:
                await coordinator.ensure_coordinator_known()
                try:
                    answer = await coordinator._send_req(
                        OffsetFetchRequest(coordinator.group_id, [(tp.topic, [tp.partition])])
                    )
                    _raise_for(getattr(answer, "error_code", 0))
                    ((_, ((_, offset, metadata, code, *_),)),) = answer.topics
                    _raise_for(code)
                except KafkaError as exc:
                    if not exc.retriable:
                        raise
                    refused.append(exc)
                    coordinator.coordinator_dead()
                    await asyncio.sleep(0.2)
                else:
                    return (None, "") if offset < 0 else (offset, metadata or "")

        return cast("tuple[int | None, str]", await self.call_thread(ask))

    async def seek_plain_to_committed(self, tps: list[TP]) -> Mapping[TP, int]:
        """Seek the partitions that are not consumed by the batch."""
        partitions = [aiokafka.TopicPartition(tp.topic, tp.partition) for tp in tps]
        return cast(Mapping[TP, int], await self.call_thread(self._ensure_consumer().seek_to_committed, *partitions))


class BatchConsumer(Consumer):
    """Delivers one message a fetched batch for topics declared batched, one a record for all others.

    For a batched partition the committed offset is the end of the longest acknowledged prefix of delivered batches;
    what is in flight when the partition is revoked is forgotten, and read again by its next owner.
    """

    app: BatchApp
    mundane_level = "debug"
    _thread: BatchConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deliveries: dict[TP, Delivery] = {}

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _is_batched(self, tp: TP) -> bool:
        return tp.topic in self.app.batched

    # -- assignment -----------------------------------------------------------------------------------------------

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a new epoch for every batched partition, then let the application know."""
        for tp in assigned:
            if self._is_batched(tp):
                self.deliveries.setdefault(tp, Delivery(held=True)).restart(held=self.app.batched[tp.topic].held)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let the application finish (and commit) what is in flight, then forget the rest."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            delivery = self.deliveries.get(tp)
            if delivery is not None:
                delivery.restart(held=True)

    def hold(self, tp: TP) -> None:
        """Deliver nothing of `tp` until the next `release`; what is in flight becomes stale."""
        delivery = self.deliveries.get(tp)
        if delivery is not None:
            delivery.restart(held=True)

    async def release(self, tp: TP, offset: int) -> int | None:
        """Deliver from `offset` on. Returns the new epoch, or None where the partition is no longer assigned."""
        delivery = self.deliveries.get(tp)
        if delivery is None or tp not in {ensure_TP(assigned) for assigned in self.assignment()}:
            return None
        epoch = delivery.restart(held=True)
        await self._thread.seek_now(tp, offset)
        self._read_offset[tp] = None
        self._committed_offset[tp] = None
        if delivery.epoch != epoch:
            return None
        delivery.held = False
        return epoch

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek what is consumed by the record; batched partitions start where aiokafka or `release` says."""
        plain = [ensure_TP(tp) for tp in self.assignment() if not self._is_batched(ensure_TP(tp))]
        return await self._thread.seek_plain_to_committed(plain) if plain else {}

    # -- fetching -------------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch once; yields a message a batch for batched topics, a message a record for others."""
        del timeout  # Faust's second is too long for a partition that is released meanwhile
        records = await self._fetch()
        generation_id = self.app.consumer_generation_id
        for tp, fetched in records.items():
            if self.should_stop or not self.flow_active or self.app.consumer_generation_id != generation_id:
                return  # rebalancing: the next owner, or the next release, reads them again
            if not fetched:
                continue
            if not self._is_batched(tp):
                for record in fetched:
                    yield tp, self._to_message(tp, record)
                continue
            delivery = self.deliveries.get(tp)
            if delivery is None or delivery.held:
                continue
            batch = Batch(tp, fetched, delivery.epoch)
            delivery.delivered(batch)
            yield tp, self._batch_message(batch)

    async def _fetch(self) -> dict[TP, list[Any]]:
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        if self.should_stop:
            return {}
        active, poll_s = set(), POLL_S
        for tp in self._get_active_partitions():
            delivery = self.deliveries.get(tp) if self._is_batched(tp) else None
            if delivery is not None and delivery.held:
                poll_s = min(poll_s, POLL_HELD_S)
            elif delivery is not None and delivery.full:
                poll_s = POLL_FULL_S
            else:
                active.add(tp)
        if not active:
            await self.sleep(min(poll_s, POLL_HELD_S))
            return {}
        return cast("dict[TP, list[Any]]", await self._getmany(active_partitions=active, timeout=poll_s))

    def _batch_message(self, batch: Batch) -> ConsumerMessage:
        last = batch.records[-1]
        return ConsumerMessage(
            batch.tp.topic,
            batch.tp.partition,
            batch.first_offset,
            last.timestamp / 1000.0,
            0,  # the producer's time; nobody asks
            None,
            None,
            batch,
            None,
            0,
            0,
            batch.tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- acknowledging and committing -----------------------------------------------------------------------------

    def taken(self, batch: Batch) -> None:
        """Say that a delivered batch is being handled, so that the next may be fetched."""
        delivery = self.deliveries.get(batch.tp)
        if delivery is not None:
            delivery.taken(batch)

    def ack(self, message: Message) -> bool:
        """Acknowledge one message; for a batch all of its records at once."""
        batch = message.value
        if not isinstance(batch, Batch):
            return cast(bool, super().ack(message))
        self._unacked_messages.discard(message)
        delivery = self.deliveries.get(batch.tp)
        if message.acked or delivery is None:
            return False
        message.acked = True
        return delivery.acknowledge(batch)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        yield from super()._filter_tps_with_pending_acks(topics)
        for tp, delivery in self.deliveries.items():
            wanted = topics is None or tp in topics or tp.topic in topics
            if wanted and delivery.has_committable and self.app.batched[tp.topic].offsets == "acks":
                yield tp

    def _new_offset(self, tp: TP) -> int | None:
        if self._is_batched(tp):
            delivery = self.deliveries.get(tp)
            return delivery.committable() if delivery is not None else None
        return cast("int | None", super()._new_offset(tp))

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        if not self._is_batched(tp):  # in a batched partition the prefix of batches says it all
            await super()._add_gap(tp, offset_from, offset_to)

    async def committed(self, tp: TP, timeout_s: float) -> tuple[int | None, str]:
        """The group's committed offset of a partition and its metadata. Raises KafkaError, asyncio.TimeoutError."""
        refused: list[KafkaError] = []
        try:
            return await asyncio.wait_for(self._thread.committed(tp, refused), timeout_s)
        except asyncio.TimeoutError:
            why = repr(refused[-1]) if refused else "no coordinator was found"
            raise asyncio.TimeoutError(f"not told within {timeout_s:g} s: {why}") from None

    async def commit_now(self, tps: Iterable[TP]) -> None:
        """Commit the acknowledged prefixes of `tps` at once; also while the partition is being revoked.

        Where the group's coordinator does not take them in time the offsets stay behind, and their batches are
        delivered again to the next owner, which a history lane does not mind (its files say where to go on).
        """
        ours = [tp for tp in tps if self._is_batched(tp) and self.app.batched[tp.topic].offsets == "acks"]
        offsets = {tp: offset for tp in ours if (offset := self._new_offset(tp)) is not None}
        if offsets:
            consumer = self._thread._ensure_consumer()
            wanted = {
                aiokafka.TopicPartition(tp.topic, tp.partition): aiokafka.structs.OffsetAndMetadata(offset, "")
                for tp, offset in offsets.items()
            }
            try:
                await asyncio.wait_for(self._thread.call_thread(consumer.commit, wanted), timeout=COMMIT_TIMEOUT_S)
            except (KafkaError, asyncio.TimeoutError) as exc:
                log.warning("Offsets were not committed group=%s offsets=%s: %r", self.app.conf.id, offsets, exc)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's stall detector does not know batches; lag is asked of the brokers instead."""


def _raise_for(code: int) -> None:
    if code:
        raise for_code(code)()


class BatchTransport(Transport):
    """The transport that a `BatchApp` uses."""

    Consumer = BatchConsumer
