"""A connection to brokers that a test commands: batches are acknowledged, refused or left waiting at its word."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, NamedTuple

from aiokafka.record.default_records import DefaultRecordBatch

from sources.batches import PLAIN, Batch, new_batch

BATCH_BYTES = 4_096


class Record(NamedTuple):
    partition: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class Submitted(NamedTuple):
    partition: int
    records: list[Record]
    acknowledged: asyncio.Future[None]


class CommandedConnection:
    """Stands where `sources.connection.Connection` does, with the real batches and nobody behind.

    `submitted` are all batches handed over, in order. With `automatic` each is acknowledged in the next turn of the
    event loop; otherwise by `acknowledge`.
    """

    def __init__(self, partitions: int = 4, *, automatic: bool = False, max_message_bytes: int = 20_000) -> None:
        self.n_partitions = partitions
        self.automatic = automatic
        self.max_message_bytes = max_message_bytes
        self.submitted: list[Submitted] = []
        self.closed = False

    def partitions(self) -> int:
        return self.n_partitions

    def new_batch(self) -> Batch:
        return new_batch(BATCH_BYTES, PLAIN)

    async def submit(self, batch: Any, partition: int) -> Awaitable[None]:
        batch.close()
        records = [
            Record(partition, record.key, record.value, list(record.headers), record.timestamp)
            for record in DefaultRecordBatch(bytes(batch._build()))
        ]
        loop = asyncio.get_running_loop()
        acknowledged: asyncio.Future[None] = loop.create_future()
        self.submitted.append(Submitted(partition, records, acknowledged))
        if self.automatic:
            loop.call_soon(self.acknowledge, len(self.submitted) - 1)
        return acknowledged

    def acknowledge(self, number: int = -1) -> None:
        """The brokers have it."""
        future = self.submitted[number].acknowledged
        if not future.done():
            future.set_result(None)

    def refuse(self, error: BaseException, number: int = -1) -> None:
        """The brokers will never take it."""
        self.submitted[number].acknowledged.set_exception(error)

    @property
    def records(self) -> list[Record]:
        """Of all batches handed over so far."""
        return [record for batch in self.submitted for record in batch.records]

    async def close(self, timeout_s: float) -> None:
        self.closed = True


class SettableClock:
    """A monotonic clock that only moves when told."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


async def turns(count: int = 20) -> Any:
    """Let everything that is ready on the event loop run."""
    for _ in range(count):
        await asyncio.sleep(0)
