"""Handles a partition exactly once: outputs, state and consumer offset in one transaction a batch.

The changelog holds, beside the state, a marker: `applied` (the next input offset) and `forwarded` (the next input
offset whose outputs are to be written). As the consumer offset is committed in the same transactions, committed and
applied are equal, unless somebody reset the group's offsets: then the lane rewinds (rebuilding the state from there
with the same result) or skips ahead, as asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from streaming.batches import Batch
from streaming.changelog import Follower, NewConsumer, bounds, catch_up, reader
from streaming.errors import BrokerUnavailable, OffsetsGone
from streaming.marker import MARKER, Gap, Marker
from streaming.processor import O_co, Processor, ProcessorFactory
from streaming.records import Records
from streaming.rows import Row, Rows
from streaming.store import PartitionStore
from streaming.transactions import (
    BATCH_BYTES,
    DEADLINE_S,
    NO_HEADERS,
    OFFSET_METADATA,
    NewProducer,
    RowsOrBatches,
    TransactionalWriter,
)

__all__ = ["MARKER", "REPLAY_FORWARD", "ExactlyOnceHandler", "Marker"]

log = logging.getLogger(__name__)

REPLAY_FORWARD = "replay forward"  # metadata of a reset offset that asks for the outputs to be written again
INLINE_RECORDS = 50  # fewer are not worth the way to a thread
# One thread for all partitions: the work holds the GIL, and several threads would only take it from each other.
_working = ThreadPoolExecutor(1, thread_name_prefix="monitor")
LINGER_S = 0.05  # a transaction costs a broker about 26 ms: small batches are collected


class ExactlyOnceHandler(Generic[O_co]):
    """A lane's handler for one input partition.

    Order on `open`: fence the former owner, read the changelog to its end, then compare with the committed offset.
    A failed or unanswered transaction is settled by opening again: the changelog says whether it was committed.
    Offsets that Kafka has dropped before they were handled stop the partition (OffsetsGone) whenever that is noticed;
    when an operator has moved the group's offset over them, they are kept as a `Gap` beside the state.
    """

    tick_s = 1.0
    linger_s = LINGER_S

    def __init__(
        self,
        tp: TP,
        *,
        group: str,
        changelog: str,
        bootstrap_servers: Sequence[str],
        follower: Follower,
        processor_factory: ProcessorFactory,
        committed: Callable[[TP], Awaitable[tuple[int | None, str]]],
        on_committed: Callable[[Any, Sequence[Any]], None],
        new_producer: NewProducer = AIOKafkaProducer,
        new_consumer: NewConsumer = AIOKafkaConsumer,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self.tp = tp
        self._group = group
        self._changelog = changelog
        self._bootstrap_servers = list(bootstrap_servers)
        self._follower = follower
        self._processor_factory = processor_factory
        self._processor: Processor[Any] | None = None
        self._committed = committed
        self._on_committed = on_committed
        self._new_consumer = new_consumer
        self._writer = TransactionalWriter(
            bootstrap_servers,
            f"{group}-{tp.topic}-{tp.partition}",
            deadline_s=deadline_s,
            new_producer=new_producer,
        )
        self._store: PartitionStore | None = None
        self._marker = Marker(0, 0)

    async def open(self) -> int:
        """Take the partition over. Raises BrokerUnavailable, OffsetsGone."""
        await self._writer.open()
        self._store = store = await self._follower.release(self.tp.partition)
        async with reader(self._bootstrap_servers, self._new_consumer) as consumer:
            recovered = await catch_up(consumer, self._changelog, store)
            beginning, end = await bounds(consumer, TopicPartition(self.tp.topic, self.tp.partition))
        try:
            committed, metadata = await self._committed(self.tp)
        except (KafkaError, OSError, asyncio.TimeoutError) as exc:
            raise BrokerUnavailable(f"offsets of {self._group} could not be read: {exc!r}") from exc
        self._processor = self._processor_factory(self.tp.partition, store)
        marker = Marker.of(store)
        log.info(
            "Lane recovered %s[%d] group=%s changelog_records=%d marker=%s committed=%s",
            self.tp.topic,
            self.tp.partition,
            self._group,
            recovered,
            marker,
            committed,
        )
        await self._position(marker, committed, metadata, beginning, end)
        return self._marker.applied

    async def _position(
        self, marker: Marker | None, committed: int | None, metadata: str, beginning: int, end: int
    ) -> None:
        """Decide where to go on. An offset that a lane has committed never moves it: what the state says counts."""
        where = f"{self.tp.topic}[{self.tp.partition}]"
        by_lane = metadata == OFFSET_METADATA
        if marker is None:
            start = beginning if committed is None or by_lane else committed
            self._marker = Marker(start, start if committed is None else committed)
        elif committed is None or committed == marker.applied or (by_lane and committed < marker.applied):
            self._marker = marker
        elif by_lane:
            self._marker = Marker(marker.applied, max(committed, marker.forwarded))
        elif committed > marker.applied:
            await self._skip(marker, committed, metadata)
        else:
            await self._rewind(marker, max(committed, beginning), metadata, beginning)
        if by_lane and committed != (marker.applied if marker else None):
            log.warning(
                "The changelog and the group's offset do not agree %s: marker=%s committed=%s; counting from %d, "
                "outputs are written from %d on",
                where,
                marker,
                committed,
                *self._marker,
            )
        applied = self._marker.applied
        if applied < beginning:
            raise self._gone(beginning)
        if applied > end:
            raise OffsetsGone(
                f"{where}: offset {applied} is next, but Kafka's log ends at {end}: the topic was created anew or "
                f"has lost its end; with the workers stopped, `faust -A app replay --group monitor` counts it anew"
            )

    def _gone(self, beginning: int) -> OffsetsGone:
        applied = self._marker.applied
        return OffsetsGone(
            f"{self.tp.topic}[{self.tp.partition}]: offsets {applied} to {beginning - 1} are gone from Kafka before "
            f"they were counted; to go on without them, stop the workers of {self._group} and run "
            f"`faust -A app accept-gap --group monitor`"
        )

    async def _skip(self, marker: Marker, committed: int, metadata: str) -> None:
        """Go on at an offset that somebody has moved ahead; what is left out is kept on record."""
        gap = Gap(marker.applied, committed - 1, metadata)
        self._marker = Marker(committed, max(committed, marker.forwarded))
        await self._commit({}, {gap.key: gap.encode()}, self._marker)
        log.warning(
            "Gap accepted %s[%d]: offsets %d to %d (%d) are in no window and no monitoring topic; said: %s",
            self.tp.topic,
            self.tp.partition,
            gap.first,
            gap.last,
            committed - marker.applied,
            metadata or "nothing",
        )

    async def _rewind(self, marker: Marker, offset: int, metadata: str, beginning: int) -> None:
        assert self._processor is not None
        rewind = await asyncio.to_thread(self._processor.rewind, offset, beginning)
        forward = metadata == REPLAY_FORWARD
        log.warning(
            "Offsets were reset %s[%d] from=%d to=%d: rebuilding state from %d, outputs %s",
            self.tp.topic,
            self.tp.partition,
            marker.applied,
            offset,
            rewind.start_offset,
            "are written again" if forward else f"are written from {marker.forwarded} on",
        )
        self._marker = Marker(rewind.start_offset, offset if forward else marker.forwarded)
        await self._commit({}, rewind.changes, self._marker)

    async def handle(self, batches: Sequence[Batch]) -> int:
        """Process and commit batches in one transaction. Raises OffsetsGone, Fenced, TransactionFailed, StoreLost."""
        assert self._processor is not None
        applied = self._marker.applied
        await self._nothing_missing(batches)
        following = batches[-1].next_offset
        if following <= applied:
            return applied
        records = Records.joined([Records.of(batch.records) for batch in batches])
        records = records[records.place_of(applied) :]
        forwarded = self._marker.forwarded
        if len(records) <= INLINE_RECORDS:
            outcome, rows = self._process(records, forwarded)
        else:
            outcome, rows = await asyncio.get_running_loop().run_in_executor(
                _working, self._process, records, forwarded
            )
        marker = Marker(following, max(following, forwarded))
        await self._commit(rows, outcome.changes, marker)
        self._on_committed(outcome, records)
        return following

    def _process(self, records: Records, forward_from: int) -> tuple[Any, dict[str, RowsOrBatches]]:
        """What the processor makes of records, and its rows by topic, packed as far as that can be done here."""
        assert self._processor is not None
        outcome = self._processor.process(records, forward_from)
        return outcome, {**Rows.of(outcome.forwards).by_topic(BATCH_BYTES)}

    async def _nothing_missing(self, batches: Sequence[Batch]) -> None:
        """Offsets that are left out are transaction markers, or were dropped: a consumer just goes on behind both."""
        following = self._marker.applied
        for batch in batches:
            if batch.first_offset > following:
                tp = TopicPartition(self.tp.topic, self.tp.partition)
                async with reader(self._bootstrap_servers, self._new_consumer) as consumer:
                    beginning, _ = await bounds(consumer, tp)
                if beginning > self._marker.applied:
                    raise self._gone(beginning)
                return  # the log's beginning only moves ahead: nothing was dropped of any of these batches
            following = batch.next_offset

    async def _commit(
        self, by_topic: Mapping[str, RowsOrBatches], changes: dict[bytes, bytes | None], marker: Marker
    ) -> None:
        assert self._store is not None
        partition = self.tp.partition
        changes = {**changes, MARKER: marker.encode()}
        rows = {(topic, partition): some for topic, some in by_topic.items()}
        rows[self._changelog, partition] = [
            Row(self._changelog, key, value, None, NO_HEADERS) for key, value in changes.items()
        ]
        ends = await self._writer.commit(rows, {(self.tp.topic, partition): marker.applied}, self._group)
        self._store.apply(changes, ends[self._changelog, partition])
        self._marker = marker

    async def tick(self) -> None:
        """Notice a local state that was deleted, also while there is nothing to do. Raises StoreLost."""
        if self._store is not None:
            self._store.check()

    async def close(self) -> int | None:
        """Everything handled is committed already: let go."""
        await self.abandon()
        return self._marker.applied

    async def abandon(self) -> None:
        """Stop the writer and give the state back to the follower."""
        if self._processor is not None:
            self._processor.discard()
        await self._writer.close()
        self._follower.follow(self.tp.partition)
