"""The history agent's part of one raw-log partition: every record into exactly one committed file."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol

from sinks.history.errors import BufferFull, HistoryDamaged, HistoryGap, SinkError
from telemetry.flow import Flow

log = logging.getLogger(__name__)


class Batch(Protocol):
    """Records of one partition as they were fetched."""

    records: Sequence[Any]
    first_offset: int
    next_offset: int


class Writer(Protocol):
    """What writes one partition; `sinks.history.writer.PartitionWriter`."""

    async def recover(self) -> int | None: ...
    async def append(self, records: Sequence[Any]) -> None: ...
    async def commit(self) -> int | None: ...
    async def discard(self) -> None: ...
    def roll_due(self) -> bool: ...

    @property
    def buffered_records(self) -> int: ...
    @property
    def buffered_bytes(self) -> int: ...
    @property
    def committed_offset(self) -> int | None: ...


class Bounds(Protocol):
    """What Kafka has of a partition, and what the group has committed."""

    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def committed(self) -> int | None: ...


class OffsetsAhead(SinkError):
    """The history has offsets that Kafka has not given yet: another cluster's history, or a topic created anew."""

    retriable = False
    reason = "offsets_ahead"


STOPPING = (HistoryGap, HistoryDamaged, OffsetsAhead)  # only an operator can go on from these


class WriterLost(SinkError):
    """This writer cannot go on (fenced, or its buffers vanished), but the partition can, with a new one: retriable."""

    retriable = True
    reason = "writer_lost"


class OpenRoll(NamedTuple):
    """What of a partition is read and not committed yet."""

    records: int
    bytes: int  # in memory and on the local disk, most of them compressed
    age_s: float  # since its first record was read


class HistoryHandler:
    """Handles one partition of raw-log for the history.

    Where to go on is decided by the committed files, not by Kafka's committed offset, which only follows for the lag to
    be seen. Offsets that Kafka no longer has stop the partition, also in the middle of reading: nothing is ever skipped
    silently. The storage being away is retriable: the lane backs off, keeps the offset and reads again.
    """

    tick_s = 0.5
    linger_s = 0.0

    def __init__(
        self,
        topic: str,
        partition: int,
        *,
        new_writer: Callable[[int], Writer],
        bounds: Callable[[int], Awaitable[Bounds]],
        flow: Flow,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._where = f"{topic}[{partition}]"
        self._partition = partition
        self._new_writer = new_writer
        self._writer: Writer | None = None
        self._bounds = bounds
        self._flow = flow
        self._clock = clock
        self._position = 0  # the next offset to come
        self._began_at = 0.0  # when the open roll's first record came
        self.committed_offset: int | None = None
        self.committed_at_ms: int | None = None  # the last commit by this handler

    @property
    def open_roll(self) -> OpenRoll | None:
        """The records that wait for the next commit, None where there are none."""
        if self._writer is None or not self._writer.buffered_records:
            return None
        return OpenRoll(self._writer.buffered_records, self._writer.buffered_bytes, self._clock() - self._began_at)

    async def open(self) -> int:
        """Complete what a former owner began. Returns the offset after the last committed one. Raises HistoryGap."""
        writer = self._writer = self._new_writer(self._partition)
        try:
            written = await writer.recover()
        except SinkError as exc:
            raise self._told(exc) from exc
        kafka = await self._bounds(self._partition)
        start = written
        if start is None:
            start = kafka.begin if kafka.committed is None else kafka.committed
            if start > kafka.begin:
                log.warning(
                    "The history's root has nothing of %s and begins at the group's committed offset %d; Kafka has "
                    "records from %d on (all of them: `faust -A app replay --group history --into <another root>`)",
                    self._where,
                    start,
                    kafka.begin,
                )
        elif kafka.committed is not None and kafka.committed != start:
            log.warning(
                "History goes on at %s@%d, where its files end; the group's committed offset %d does not count "
                "(to write records again: `faust -A app replay --group history --into <another root>`)",
                self._where,
                start,
                kafka.committed,
            )
        if start < kafka.begin:
            raise self._told(HistoryGap(self._topic, self._partition, start, kafka.begin))
        if start > kafka.end:
            raise self._told(
                OffsetsAhead(
                    f"{self._where}: the history ends at offset {start - 1}, but Kafka at {kafka.end - 1}: the topic "
                    f"was created anew or lost its end, or SLUICE_HISTORY is another cluster's; give it another root"
                )
            )
        self._position, self.committed_offset = start, written
        log.info("History goes on %s at offset=%d end=%d", self._where, start, kafka.end)
        return start

    async def handle(self, batches: Sequence[Batch]) -> int | None:
        """Buffer the records; rolls when the files are large enough. Raises HistoryGap."""
        assert self._writer is not None
        for batch in batches:
            if batch.first_offset > self._position:
                await self._require_hole()
            if not self._writer.buffered_records:
                self._began_at = self._clock()
            await self._append(batch.records)
            self._position = batch.next_offset
            self._flow.received += len(batch.records)
        return await self._commit() if self._writer.roll_due() else None

    async def tick(self) -> int | None:
        """Roll by age."""
        if self._writer is None or not self._writer.roll_due():
            return None
        return await self._commit()

    async def close(self) -> int | None:
        """Roll what is buffered, and let go."""
        durable = await self._commit()
        self._writer = None
        return durable

    async def abandon(self) -> None:
        """Drop the buffers: Kafka still has the records."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._flow.received -= writer.buffered_records  # they will come again
            try:
                await writer.discard()
            except OSError as exc:  # buffers are disposable; a full disk must not keep the lane from starting over
                log.warning("Buffers of %s could not be removed: %s", self._where, exc)

    async def _require_hole(self) -> None:
        """Offsets were passed over: transaction markers, or records that Kafka dropped before they were read?

        A Kafka client goes on at the oldest record there is when its next one is gone, and says nothing. What is
        buffered is committed first: Kafka may not have it any more either.
        """
        kafka = await self._bounds(self._partition)
        if kafka.begin > self._position:
            await self._commit()
            raise self._told(HistoryGap(self._topic, self._partition, self._position, kafka.begin))

    async def _append(self, records: Sequence[Any]) -> None:
        """Buffer records; where memory and local disk are full, roll what there is and buffer them then."""
        assert self._writer is not None
        try:
            await self._writer.append(records)
            return
        except BufferFull as exc:
            log.warning("Local buffers of %s are full, rolling now: %s", self._where, exc)
            self._flow.error(f"{self._where}: {exc}")
        except SinkError as exc:
            raise self._told(exc) from exc
        await self._commit()
        try:
            await self._writer.append(records)
        except SinkError as exc:
            raise self._told(exc) from exc

    async def _commit(self) -> int | None:
        assert self._writer is not None
        records = self._writer.buffered_records
        try:
            durable = await self._writer.commit()
        except SinkError as exc:
            raise self._told(exc) from exc
        if records:
            self._flow.sent += records
            self._flow.last_event_at_ms = self.committed_at_ms = int(time.time() * 1000)
            self.committed_offset = durable
        return durable

    def _told(self, exc: SinkError) -> SinkError:
        """Note the error where an operator looks, and say whether the lane may start over."""
        self._flow.error(str(exc) if str(exc).startswith(self._where) else f"{self._where}: {exc}")
        if exc.retriable or isinstance(exc, STOPPING):
            return exc
        return WriterLost(f"{self._where}: {type(exc).__name__}: {exc}")
