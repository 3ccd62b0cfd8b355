"""Writes one partition's history: collects a roll, commits it, and takes up again where somebody broke off."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from sinks.history.buffer import RollBuffer, SealedFile
from sinks.history.codec import Compression
from sinks.history.commit import CommitLog
from sinks.history.encoder import Columns, Encoder, Format, Record
from sinks.history.errors import OffsetsOutOfOrder, SinkError
from sinks.history.record import CommittedFile
from sinks.history.roll import Destination, Loss, Roll
from sinks.history.storage import Storage
from sinks.history.threads import Threads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriterOptions:
    """How history files come out, and what they may cost until they do."""

    format: Format
    compression: Compression
    roll_bytes: int  # a roll is due when one of its files reaches this, compressed
    roll_interval_s: float  # and at the latest this long after its first record
    buffer_dir: Path  # of this process alone; what is in it is disposable
    memory_bytes: int = 16 << 20  # a partition's roll in memory; more goes to buffer_dir
    max_files: int = 1024  # a roll is due when it has this many: a commit costs three round trips a file
    parallel: int = 4  # storage calls at a time


class PartitionWriter:
    """Writes one topic partition, every offset in exactly one committed file, in whatever order things fail.

    States: NEW -recover-> WRITING -commit-> COMMITTING -> WRITING; `discard` and fatal errors lead back to NEW, from
    where only `recover` leads on. COMMITTING has the steps of `Roll`; a retriable error leaves it at the step that
    failed, and the next `commit` goes on from there. What counts is the storage alone: Kafka's committed offset is not
    asked, buffers are disposable, and a crash anywhere costs no more than reading the open roll from Kafka again.

    Another writer may be at work on the same partition, dead, alive or asleep: whoever commits a range first has it,
    the other one gets RollAlreadyExists. Not safe for concurrent use; owned by agents/history.py. Any call may be
    cancelled: an `append` then took nothing, a `commit` is called again.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        storage: Storage,
        options: WriterOptions,
        executor: Executor,
        clock: Callable[[], float],
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._storage = storage
        self._options = options
        self._clock = clock
        self._log = CommitLog(storage, topic, partition)
        self._threads = Threads(executor, options.parallel)
        self._destination = Destination(
            topic=topic,
            partition=partition,
            format=options.format,
            compression=options.compression,
            writer=f"{socket.gethostname()}:{os.getpid()}",
            storage=storage,
            log=self._log,
            threads=self._threads,
            directories=set(),
        )
        self._encoder = Encoder(partition, options.format)
        self._buffer = self._new_buffer()
        self._recovered = False
        self._committed: int | None = None  # the offset after the newest roll
        self._roll: Roll | None = None  # the one that is being committed
        self._deadline: float | None = None
        self._buffer_full = False
        self._sole_heir = False  # whether uploads of earlier writers were cleared away

    @property
    def next_offset(self) -> int | None:
        """The offset to go on reading at; None when nothing was ever committed or appended."""
        return self._buffer.last + 1 if self._buffer.rows else self._committed

    @property
    def committed_offset(self) -> int | None:
        """The offset after the newest committed roll: what may be committed to Kafka."""
        return self._committed

    @property
    def buffered_records(self) -> int:
        """Records that are not committed yet."""
        return self._buffer.rows

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the open roll in memory and on the local disk, most of them compressed."""
        return self._buffer.total_bytes

    @property
    def roll_deadline(self) -> float | None:
        """When the open roll is due at the latest, on the writer's clock in seconds; None when there is none."""
        return self._deadline

    def roll_due(self) -> bool:
        """Whether `commit` should be called: by size, age, number of files, or because local buffers are full."""
        if not self._buffer.rows:
            return False
        return (
            self._roll is not None
            or self._buffer_full
            or self._buffer.largest_bytes >= self._options.roll_bytes
            or len(self._buffer) >= self._options.max_files
            or (self._deadline is not None and self._clock() >= self._deadline)
        )

    async def recover(self) -> int | None:
        """Completes the newest committed roll and gives the offset to go on at; None when nothing was ever committed.

        Drops whatever is buffered; may be called at any time, after a fatal error too. Uploads of other writers stay
        until this one has committed: until then they may still commit them.

        Raises: StorageUnavailable, StorageDenied, StorageFull: call again. HistoryDamaged.
        """
        await self.discard()
        await self._threads.run(self._remove_old_buffers)
        newest = await self._threads.run(self._log.newest)
        if newest is not None:
            await self._threads.each(self._complete, newest.files)
        self._committed = None if newest is None else newest.last + 1
        self._sole_heir = False
        self._recovered = True
        return self._committed

    async def append(self, records: Sequence[Record]) -> None:
        """Adds records, offsets ascending; holes between them are normal.

        Raises, with nothing of the batch taken: BufferFull, when memory and local disk are full: commit, then call
        again; OffsetsOutOfOrder. No content of a record is an error.
        """
        self._require_recovered()
        if self._roll is not None:
            raise RuntimeError(f"{self._name()}: a roll is being committed; call commit() until it is done")
        if not records:
            return
        self._check_order(records)
        if self._buffer.memory_bytes >= self._options.memory_bytes:
            self._buffer_full = True  # until the spill is done
            self._buffer.take_spill(await self._threads.run(self._buffer.spill))
            self._buffer_full = False
        additions = await self._threads.run(self._buffer.encode, records)
        if not self._buffer.rows:
            self._deadline = self._clock() + self._options.roll_interval_s
        self._buffer.add(additions)

    async def commit(self) -> int | None:
        """Commits all that was appended as one roll and gives the next offset to read.

        In this order: (1) upload the files; (2) rename the commit record, which is the commit; (3) rename the files
        into data/. (4), the commit of the Kafka offset, is the caller's. After a retriable error nothing is lost and
        the next call goes on from there; before (2) nothing is visible in data/, after it the next call, or the next
        writer, completes (3). With nothing appended it does nothing.

        Raises: StorageUnavailable, StorageDenied, StorageFull: call again. RollAlreadyExists: another writer has this
        range; `recover` tells where to go on. BufferLost, HistoryDamaged, StorageRefused.
        """
        self._require_recovered()
        if self._roll is None:
            if not self._buffer.rows:
                return self._committed
            files = await self._threads.run(self._buffer.seal)
            self._roll = self._new_roll(self._buffer.first, self._buffer.last, files)
        return await self._commit(self._roll)

    async def accept_loss(self, next_offset: int, why: str, *, first: int | None = None) -> int:
        """Commits that the offsets from the committed one up to this one will never be in the history.

        For an operator's decision after HistoryGap: it is on record for ever, with `why` and the time. `first` is where
        the loss begins in a history that has nothing of the partition yet. Raises: as `commit`.
        """
        self._require_recovered()
        start = first if self._committed is None else self._committed
        if start is None or self._buffer.rows:
            raise RuntimeError(f"{self._name()}: a loss can be accepted only after a recovery that gave an offset")
        if self._roll is None:
            if next_offset <= start:
                return start
            self._roll = self._new_roll(start, next_offset - 1, [], Loss(int(time.time() * 1000), why))
        return await self._commit(self._roll)

    async def discard(self) -> None:
        """Drops what is not committed, without a storage call. Only `recover` makes the writer usable again.

        Uploads stay where they are: a commit that timed out may still happen, and then needs them.
        """
        self._recovered = False
        self._start_roll()

    async def _complete(self, file: CommittedFile) -> None:
        """Moves a file of a committed roll to its place if it is not there."""
        if await self._threads.run(self._storage.exists, file.target):
            return
        if not await self._threads.run(self._log.complete, file):
            logger.warning(
                "%s is committed and not there: moved away, or lost. `faust -A app verify` tells.", file.target
            )

    async def _commit(self, roll: Roll) -> int:
        started = self._clock()
        try:
            await roll.commit()
        except SinkError as error:
            self._recovered = error.retriable
            raise
        self._start_roll()
        self._committed = roll.last + 1
        logger.info("Committed %s seconds=%.3f.", roll, self._clock() - started)
        try:
            await self._threads.run(roll.tidy, not self._sole_heir)
            self._sole_heir = True
        except SinkError as error:
            logger.info("%s: what is left of uploads is removed later: %s", self._name(), error)
        return self._committed

    def _new_roll(self, first: int, last: int, files: Sequence[SealedFile], loss: Loss | None = None) -> Roll:
        if self._committed is None:
            return Roll(self._destination, 0, first, last, files, loss)
        return Roll(self._destination, self._committed, self._committed, last, files, loss)

    def _start_roll(self) -> None:
        self._buffer.remove_local_files()
        self._buffer = self._new_buffer()
        self._roll = None
        self._deadline = None
        self._buffer_full = False

    def _new_buffer(self) -> RollBuffer:
        directory = self._options.buffer_dir / f"{self._topic}+{self._partition}+{uuid.uuid4().hex}"
        return RollBuffer(self._encoder, self._options.compression, directory)

    def _remove_old_buffers(self) -> None:
        for directory in self._options.buffer_dir.glob(f"{self._topic}+{self._partition}+*"):
            shutil.rmtree(directory, ignore_errors=True)

    def _require_recovered(self) -> None:
        if not self._recovered:
            raise RuntimeError(f"{self._name()}: recover() comes first")

    def _check_order(self, records: Sequence[Record]) -> None:
        previous = (self.next_offset or 0) - 1
        for offset in records.offsets if isinstance(records, Columns) else [record.offset for record in records]:
            if offset <= previous:
                raise OffsetsOutOfOrder(f"{self._name()}: offset {offset} was delivered after {previous}")
            previous = offset

    def _name(self) -> str:
        return f"{self._topic}[{self._partition}]"
