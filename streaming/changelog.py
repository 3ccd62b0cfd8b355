"""Reads the changelog into the local store: followed for partitions owned elsewhere, caught up with before owning.

A worker that follows everything answers for the whole cluster from local state, and takes a partition over warm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from streaming.errors import BrokerUnavailable, StoreUnwritable
from streaming.pacing import pace
from streaming.store import PartitionStore, Store

log = logging.getLogger(__name__)

MAX_RECORDS = 20_000
CALL_TIMEOUT_S = 15.0


NewConsumer = Callable[..., AIOKafkaConsumer]


def new_reader(bootstrap_servers: Sequence[str], new_consumer: NewConsumer = AIOKafkaConsumer) -> AIOKafkaConsumer:
    """A consumer without a group that sees committed records only."""
    return new_consumer(
        bootstrap_servers=list(bootstrap_servers),
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        fetch_max_wait_ms=200,
        request_timeout_ms=int(CALL_TIMEOUT_S * 1000),
    )


@contextlib.asynccontextmanager
async def reader(
    bootstrap_servers: Sequence[str], new_consumer: NewConsumer = AIOKafkaConsumer
) -> AsyncIterator[AIOKafkaConsumer]:
    """A started reader, stopped at the end. Raises BrokerUnavailable."""
    consumer = new_reader(bootstrap_servers, new_consumer)
    try:
        try:
            await asyncio.wait_for(consumer.start(), CALL_TIMEOUT_S)
        except (KafkaError, OSError, asyncio.TimeoutError) as exc:
            raise BrokerUnavailable(f"no broker answers at {';'.join(bootstrap_servers)}: {exc!r}") from exc
        pace(consumer)
        yield consumer
    finally:
        await consumer.stop()


def _start_offset(store: PartitionStore, beginning: int, end: int) -> int:
    """Where to read on; clears a copy that cannot be continued."""
    position = store.position()
    if position is None:
        return beginning
    if position > end or not store.usable():
        log.warning("Local state of partition %d does not fit the changelog; rebuilding it", store.partition)
        store.clear()
        return beginning
    return max(position, beginning)


def apply_records(store: PartitionStore, records: Iterable[Any], position: int) -> None:
    """Write the newest value of each key; in offset order, so the last one wins."""
    store.apply({record.key: record.value for record in records if record.key is not None}, position)


async def catch_up(consumer: AIOKafkaConsumer, topic: str, store: PartitionStore) -> int:
    """Read one changelog partition to its end into `store`. Returns the number of records read.

    To be called after the partition's former writer was fenced: the end is then final. The log may end in transaction
    markers, so the position decides, not the last record. Raises BrokerUnavailable, StoreUnwritable; the store is then
    behind, not wrong, and the call can be repeated. A broker from which nothing comes for CALL_TIMEOUT_S is away.
    """
    tp = TopicPartition(topic, store.partition)
    count, progress_at = 0, time.monotonic()
    try:
        consumer.assign([tp])
        beginning, end = await bounds(consumer, tp)
        start = _start_offset(store, beginning, end)
        consumer.seek(tp, start)
        while start < end:
            fetch = consumer.getmany(tp, timeout_ms=200, max_records=MAX_RECORDS)
            fetched = await asyncio.wait_for(fetch, CALL_TIMEOUT_S)
            records = fetched.get(tp, [])
            reached = await asyncio.wait_for(consumer.position(tp), CALL_TIMEOUT_S)
            if reached != start:
                start, progress_at = reached, time.monotonic()
            elif time.monotonic() - progress_at > CALL_TIMEOUT_S:
                raise BrokerUnavailable(
                    f"changelog {topic}[{store.partition}] does not go on at {start}, ends at {end}"
                )
            if records:
                await asyncio.to_thread(apply_records, store, records, start)
                count += len(records)
        if store.position() != start:
            store.apply({}, start)
    except (KafkaError, OSError, asyncio.TimeoutError) as exc:
        raise BrokerUnavailable(f"changelog {topic}[{store.partition}] could not be read: {exc!r}") from exc
    return count


async def bounds(consumer: AIOKafkaConsumer, tp: TopicPartition) -> tuple[int, int]:
    """The first offset that a partition still has and the one after its last committed record.

    Raises BrokerUnavailable.
    """
    try:
        beginnings = await asyncio.wait_for(consumer.beginning_offsets([tp]), CALL_TIMEOUT_S)
        ends = await asyncio.wait_for(consumer.end_offsets([tp]), CALL_TIMEOUT_S)
    except (KafkaError, OSError, asyncio.TimeoutError) as exc:
        raise BrokerUnavailable(f"bounds of {tp.topic}[{tp.partition}] could not be read: {exc!r}") from exc
    return beginnings[tp], ends[tp]


class Follower(Service):
    """Keeps the local copies of all partitions that this worker does not own up to date.

    At any moment a partition's store has one writer: this service, or the lane that called `release`.
    """

    mundane_level = "debug"

    def __init__(self, bootstrap_servers: Sequence[str], topic: str, partitions: int, store: Store) -> None:
        super().__init__()
        self._bootstrap_servers = list(bootstrap_servers)
        self._topic = topic
        self._store = store
        self._following = set(range(partitions))
        self._behind = set(range(partitions))  # not at the end since the start or the last change
        self._changed = True
        self._stores: dict[int, PartitionStore] = {}  # as of the assignment: one that is lost then takes no write
        self._applying = asyncio.Lock()
        self.error: str | None = None

    async def release(self, partition: int) -> PartitionStore:
        """Stop writing a partition; the caller is its only writer from here on."""
        async with self._applying:
            self._following.discard(partition)
            self._behind.discard(partition)
            self._changed = True
        return self._store.partition(partition)

    def follow(self, partition: int) -> None:
        """Take a partition back; the caller must have stopped writing it."""
        if partition not in self._following:
            self._following.add(partition)
            self._behind.add(partition)
            self._changed = True

    @property
    def caught_up(self) -> bool:
        """Whether every followed partition has been read to its end once."""
        return not self._behind

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            try:
                async with reader(self._bootstrap_servers) as consumer:
                    self._changed = True
                    while not self.should_stop:
                        await self._round(consumer)
                        self.error = None
            except (BrokerUnavailable, StoreUnwritable, KafkaError, OSError, asyncio.TimeoutError) as exc:
                if self.error is None:
                    log.warning("Changelog is not being followed topic=%s: %r", self._topic, exc)
                self.error = str(exc)
                await self.sleep(2.0)

    async def _round(self, consumer: AIOKafkaConsumer) -> None:
        if self._changed:
            await self._assign(consumer)
        for store in self._stores.values():
            store.check()
        if not consumer.assignment():
            await self.sleep(0.2)
            return
        fetch = consumer.getmany(timeout_ms=200, max_records=MAX_RECORDS)
        fetched = await asyncio.wait_for(fetch, CALL_TIMEOUT_S)
        async with self._applying:
            for tp, records in fetched.items():
                if tp.partition in self._following and not self._changed:
                    position = await consumer.position(tp)
                    await asyncio.to_thread(apply_records, self._stores[tp.partition], records, position)
        await self._note_progress(consumer)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        async with self._applying:
            self._changed = False
            tps = [TopicPartition(self._topic, partition) for partition in sorted(self._following)]
            self._stores = {tp.partition: self._store.partition(tp.partition) for tp in tps}
            self._behind |= {tp.partition for tp in tps if self._stores[tp.partition].position() is None}
            consumer.unsubscribe()
            if not tps:
                return
            consumer.assign(tps)
            ends = await asyncio.wait_for(consumer.end_offsets(tps), CALL_TIMEOUT_S)
            beginnings = await asyncio.wait_for(consumer.beginning_offsets(tps), CALL_TIMEOUT_S)
            for tp in tps:
                consumer.seek(tp, _start_offset(self._stores[tp.partition], beginnings[tp], ends[tp]))
            self._ends = ends

    async def _note_progress(self, consumer: AIOKafkaConsumer) -> None:
        if self._behind and not self._changed:
            for tp in consumer.assignment():
                if tp.partition in self._behind and await consumer.position(tp) >= self._ends[tp]:
                    self._behind.discard(tp.partition)
