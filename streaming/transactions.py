"""One transaction a batch and partition: outputs, changelog and offset become visible together or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from streaming.errors import BrokerUnavailable, Fenced, TransactionFailed
from streaming.rows import COMPRESSION, PackedBatch, Row

log = logging.getLogger(__name__)

T = TypeVar("T")

# Uncompressed size of a record batch. Under the brokers' default message.max.bytes (1,048,588) whatever the codec does.
BATCH_BYTES = 900_000
REQUEST_BYTES = 16 * 1024 * 1024  # one record larger than a batch goes alone; topics Sluice creates take 8 MiB
# A broker that was killed takes about 14 s to come back; a longer wait is better spent on a new producer, which
# fences this one and finds out what became of the transaction.
DEADLINE_S = 20.0
STOP_S = 5.0


# Metadata of the offsets committed here: any other was set by somebody who wants the group to go on there.
OFFSET_METADATA = "with the windows"
NO_HEADERS: list[tuple[str, bytes | None]] = []  # aiokafka's builder insists on a list

NewProducer = Callable[..., AIOKafkaProducer]

RowsOrBatches = Sequence[Row] | Sequence[PackedBatch]


class TransactionalWriter:
    """The one writer of a partition's outputs, identified by its transactional id.

    `open` fences every earlier writer of the same id and ends its transaction. After any error but BrokerUnavailable
    from `open` the writer is closed: whether the transaction was committed is found out by opening anew and reading
    the changelog. Not for concurrent use.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        transactional_id: str,
        *,
        deadline_s: float = DEADLINE_S,
        new_producer: NewProducer = AIOKafkaProducer,
    ) -> None:
        self.transactional_id = transactional_id
        self._bootstrap_servers = list(bootstrap_servers)
        self._deadline_s = deadline_s
        self._new_producer = new_producer
        self._producer: AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Start and fence. Raises BrokerUnavailable."""
        producer = self._new_producer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=self.transactional_id,
            transaction_timeout_ms=60_000,
            compression_type=COMPRESSION,
            max_batch_size=BATCH_BYTES,
            max_request_size=REQUEST_BYTES,
            linger_ms=0,
            request_timeout_ms=int(self._deadline_s * 1000),
        )
        self._producer = producer
        try:
            await asyncio.wait_for(producer.start(), self._deadline_s)
        except Exception as exc:
            await self.close()
            raise BrokerUnavailable(f"producer {self.transactional_id} could not start: {exc!r}") from exc

    async def commit(
        self,
        rows: Mapping[tuple[str, int], RowsOrBatches],
        offsets: Mapping[tuple[str, int], int],
        group: str,
    ) -> dict[tuple[str, int], int]:
        """Write rows by (topic, partition) and the group's offsets in one transaction.

        Returns the offset after the last row written, by (topic, partition). Raises Fenced or TransactionFailed; the
        writer is closed then.
        """
        producer = self._producer
        if producer is None:
            raise TransactionFailed(f"{self.transactional_id} is closed")
        try:
            return await self._within_deadline(self._commit(producer, rows, offsets, group))
        except ProducerFenced as exc:
            await self.close()
            raise Fenced(f"{self.transactional_id}: a newer writer owns the partition") from exc
        except TransactionFailed:
            await self.close()
            raise
        except Exception as exc:  # a client that was fenced meanwhile also complains of its own state, or asserts
            await self.close()
            raise TransactionFailed(f"{self.transactional_id}: {exc!r}") from exc
        except asyncio.CancelledError:
            await self.close()
            raise

    async def _commit(
        self,
        producer: AIOKafkaProducer,
        rows: Mapping[tuple[str, int], RowsOrBatches],
        offsets: Mapping[tuple[str, int], int],
        group: str,
    ) -> dict[tuple[str, int], int]:
        await producer.begin_transaction()
        sent = []
        for (topic, partition), topic_rows in rows.items():
            for batch, count in _batches(producer, topic_rows):
                future = await producer.send_batch(batch, topic, partition=partition)
                future.add_done_callback(_retrieved)  # where one fails, the others are not waited for
                sent.append((topic, partition, count, future))
        ends: dict[tuple[str, int], int] = {}
        for topic, partition, count, future in sent:
            metadata = await future
            ends[topic, partition] = metadata.offset + count
        await producer.send_offsets_to_transaction(
            {TopicPartition(*tp): OffsetAndMetadata(offset, OFFSET_METADATA) for tp, offset in offsets.items()}, group
        )
        await producer.commit_transaction()
        return ends

    async def _within_deadline(self, work: Awaitable[T]) -> T:
        return await asyncio.wait_for(work, self._deadline_s)

    async def close(self) -> None:
        """Stop the producer, waiting a few seconds at most; an open transaction is left to the next owner's fencing."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        _retrieve_all(producer)
        try:
            await asyncio.wait_for(producer.stop(), STOP_S)
        except Exception as exc:  # what a half-dead client raises while stopping changes nothing
            log.debug("Producer %s did not stop cleanly: %r", self.transactional_id, exc)
            try:
                await asyncio.wait_for(producer.client.close(), STOP_S)
            except Exception as again:
                log.debug("Client of %s did not close cleanly: %r", self.transactional_id, again)


def _retrieved(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from reporting an exception that the transaction's failure has told already."""
    if not future.cancelled():
        future.exception()


def _retrieve_all(producer: AIOKafkaProducer) -> None:
    """The same for futures inside of aiokafka that nobody waits for once the transaction has failed."""
    accumulator = producer._message_accumulator
    batches = [batch for queued in accumulator._batches.values() for batch in queued]
    for future in (
        producer._txn_manager._transaction_waiter,
        *(batch._drain_waiter for batch in (*batches, *accumulator._pending_batches)),
    ):
        if future is None:
            continue
        if future.done():
            _retrieved(future)
        else:
            future.add_done_callback(_retrieved)


def _batches(producer: AIOKafkaProducer, rows: RowsOrBatches) -> list[tuple[Any, int]]:
    """Pack rows into record batches, in order, where they are not yet; a row that is larger than a batch gets its own.

    Appends by aiokafka's C builder itself: its wrapper in Python takes longer than the appending.
    """
    if rows and isinstance(rows[0], PackedBatch):
        return [(batch, batch.record_count()) for batch in cast("Sequence[PackedBatch]", rows)]
    return _packed(producer, cast("Sequence[Row]", rows))


def _packed(producer: AIOKafkaProducer, rows: Sequence[Row]) -> list[tuple[Any, int]]:
    batches = []
    at = 0
    while at < len(rows):
        batch = producer.create_batch()
        append = batch._builder.append
        first = at
        for _, key, value, timestamp_ms, headers in rows[first:] if first else rows:
            if append(at - first, timestamp_ms, key, value, headers) is None:
                break
            at += 1
        if at == first:
            raise TransactionFailed(f"a row of {len(rows[at][2] or b'')} bytes does not fit into a record batch")
        batch._relative_offset = at - first
        batch.close()
        batches.append((batch, at - first))
    return batches
