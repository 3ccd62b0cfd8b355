"""Handles a partition exactly once: outputs, state and consumer offset in one transaction a batch.

The changelog holds, beside the state, a marker: `applied` (the next input offset) and `forwarded` (the next input
offset whose outputs are to be written). As the consumer offset is committed in the same transactions, committed and
applied are equal, unless somebody reset the group's offsets: then the lane rewinds (rebuilding the state from there
with the same result) or skips ahead, as asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from streaming.batches import Batch
from streaming.changelog import Follower, bounds, catch_up, reader
from streaming.errors import BrokerUnavailable, OffsetsGone
from streaming.store import PartitionStore, Reader
from streaming.transactions import NO_HEADERS, Row, TransactionalWriter

log = logging.getLogger(__name__)

MARKER = b"\x00marker"
REPLAY_FORWARD = "replay forward"  # metadata of a reset offset that asks for the outputs to be written again
INLINE_RECORDS = 50  # fewer are not worth the way to a thread
# One thread for all partitions: the work holds the GIL, and several threads would only take it from each other.
_working = ThreadPoolExecutor(1, thread_name_prefix="monitor")
LINGER_S = 0.05  # a transaction costs a broker about 26 ms: small batches are collected


class Outcome(Protocol):
    """What processing a batch asks to be committed: rows for other topics, and changes of the state (None deletes)."""

    @property
    def forwards(self) -> Sequence[Any]: ...
    @property
    def changes(self) -> dict[bytes, bytes | None]: ...


class Rewind(Protocol):
    """Where a rebuild has to start, and what of the state goes first."""

    @property
    def start_offset(self) -> int: ...
    @property
    def changes(self) -> dict[bytes, bytes | None]: ...


O_co = TypeVar("O_co", bound=Any, covariant=True)


class Processor(Protocol[O_co]):
    """The work itself, for one partition: pure but for reading the state that was handed in. Called from one thread."""

    def process(self, records: Sequence[Any], forward_from: int) -> O_co:
        """Work on records in offset order; outputs only for offsets >= forward_from."""

    def discard(self) -> None:
        """Forget everything that the reader does not have."""

    def rewind(self, offset: int, log_start: int) -> Rewind:
        """Prepare to work again from `offset` with the same result as the first time."""


ProcessorFactory = Callable[[int, Reader], Processor[Any]]


class Marker(NamedTuple):
    """How far a partition has come."""

    applied: int
    forwarded: int

    def encode(self) -> bytes:
        """The marker as stored."""
        return orjson.dumps(self._asdict())

    @classmethod
    def of(cls, store: PartitionStore) -> Marker | None:
        """The stored marker, None for a partition that was never worked on."""
        value = store.get(MARKER)
        return cls(**orjson.loads(value)) if value is not None else None


class ExactlyOnceHandler(Generic[O_co]):
    """A lane's handler for one input partition.

    Order on `open`: fence the former owner, read the changelog to its end, then compare with the committed offset.
    A failed or unanswered transaction is settled by opening again: the changelog says whether it was committed.
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
        self._writer = TransactionalWriter(bootstrap_servers, f"{group}-{tp.topic}-{tp.partition}")
        self._store: PartitionStore | None = None
        self._marker = Marker(0, 0)

    async def open(self) -> int:
        """Take the partition over. Raises BrokerUnavailable, OffsetsGone."""
        await self._writer.open()
        self._store = store = await self._follower.release(self.tp.partition)
        async with reader(self._bootstrap_servers) as consumer:
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
        """Decide where to go on."""
        where = f"{self.tp.topic}[{self.tp.partition}]"
        if marker is None:
            start = beginning if committed is None else committed
            self._marker = Marker(start, start)
        elif committed is None or committed == marker.applied:
            self._marker = marker
        elif committed > marker.applied:
            log.warning("Offsets were moved ahead %s from=%d to=%d: skipping", where, marker.applied, committed)
            self._marker = Marker(committed, max(committed, marker.forwarded))
        else:
            await self._rewind(marker, max(committed, beginning), metadata, beginning)
        if not beginning <= self._marker.applied <= end:
            raise OffsetsGone(
                f"{where}: next offset is {self._marker.applied}, but Kafka has {beginning} to {end - 1}; "
                f"go on with `faust -A app replay --group monitor --from earliest` (worker stopped)"
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
        await self._commit([], rewind.changes, self._marker)

    async def handle(self, batches: Sequence[Batch]) -> int:
        """Process and commit batches in one transaction."""
        assert self._processor is not None
        applied = self._marker.applied
        records = [record for batch in batches for record in batch.records if record.offset >= applied]
        following = batches[-1].next_offset
        if following <= applied:
            return applied
        forwarded = self._marker.forwarded
        if len(records) <= INLINE_RECORDS:
            outcome = self._processor.process(records, forwarded)
        else:
            outcome = await asyncio.get_running_loop().run_in_executor(
                _working, self._processor.process, records, forwarded
            )
        marker = Marker(following, max(following, forwarded))
        await self._commit(outcome.forwards, outcome.changes, marker)
        self._on_committed(outcome, records)
        return following

    async def _commit(self, forwards: Sequence[Any], changes: dict[bytes, bytes | None], marker: Marker) -> None:
        assert self._store is not None
        partition = self.tp.partition
        changes = {**changes, MARKER: marker.encode()}
        rows: dict[tuple[str, int], list[Row]] = {}
        for forward in forwards:
            rows.setdefault((forward[0], partition), []).append(forward)
        rows[self._changelog, partition] = [
            (self._changelog, key, value, None, NO_HEADERS) for key, value in changes.items()
        ]
        ends = await self._writer.commit(rows, {(self.tp.topic, partition): marker.applied}, self._group)
        self._store.apply(changes, ends[self._changelog, partition])
        self._marker = marker

    async def tick(self) -> None:
        """Nothing is due by time."""

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
