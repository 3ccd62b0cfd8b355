"""A lane: the record batches of one partition on their way to Kafka, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from parsers.packed import PackedEvents
from sources.batches import Batch, Envelope
from sources.connection import Connection
from sources.errors import BrokerUnavailable


class Ticket:
    """One `send` call's claim on acknowledgements: its future is done when every batch that it is part of is.

    Batches are counted while the call still adds to them, so the caller holds one claim of its own until it is through.
    """

    __slots__ = ("_pending", "acknowledged")

    def __init__(self, acknowledged: asyncio.Future[None]) -> None:
        self.acknowledged = acknowledged
        self._pending = 1

    def join(self) -> None:
        """One more batch, or the caller itself, to wait for."""
        self._pending += 1

    def done(self) -> None:
        """One of them is through."""
        self._pending -= 1
        if not self._pending and not self.acknowledged.done():
            self.acknowledged.set_result(None)

    def fail(self, error: BrokerUnavailable) -> None:
        """One of them failed: the caller learns at once. Does nothing if it has gone already."""
        if not self.acknowledged.done():
            self.acknowledged.set_exception(error)


class Run(NamedTuple):
    """Events in a row that share their headers, and with them the key and the lane."""

    lane: Lane
    envelope: Envelope
    events: PackedEvents
    first: int  # the number of the first in `events`, and of the one after the last
    after: int


class _Batch:
    __slots__ = ("builder", "n_bytes", "opened_at_s", "submitted_at_s", "tickets")

    def __init__(self, builder: Batch, opened_at_s: float) -> None:
        self.builder = builder
        self.tickets: list[Ticket] = []
        self.n_bytes = 0
        self.opened_at_s = opened_at_s
        self.submitted_at_s: float | None = None

    def join(self, ticket: Ticket, n_bytes: int) -> None:
        if not n_bytes:
            return
        self.n_bytes += n_bytes
        if not self.tickets or self.tickets[-1] is not ticket:
            self.tickets.append(ticket)
            ticket.join()

    def fail(self, error: BrokerUnavailable) -> None:
        for ticket in self.tickets:
            ticket.fail(error)
        self.tickets.clear()


class Lane:
    """Group commit for one partition: events of concurrent requests share record batches, in their order.

    One batch is with aiokafka at a time; what arrives meanwhile fills the next, which is handed over as soon as that
    one is acknowledged. So a lone event goes out at once, and the busier the broker, the fuller the batches get. No
    timer takes part.

    States: OPEN; AWAY once the batch in flight has not been acknowledged within the deadline. Then its senders are
    told, what waits behind it is dropped, and nothing is taken. aiokafka goes on trying that one batch, in its
    sequence, and its acknowledgement opens the lane again.
    """

    def __init__(
        self, partition: int, connection: Connection, clock: Callable[[], float], released: Callable[[int], None]
    ) -> None:
        self.partition = partition
        self.away = False
        self._connection = connection
        self._clock = clock
        self._released = released
        self._batches: deque[_Batch] = deque()
        self._filled = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing waits here."""
        return not self._batches

    def append(self, ticket: Ticket, timestamp_ms: int, run: Run, first: int, after: int) -> int:
        """Put records into the newest batch, and new ones when it is full: events of the run, by their numbers.

        Returns the bytes of budget they hold. Those are given back, batch by batch, when the batch is acknowledged or
        dropped.
        """
        envelope, events = run.envelope, run.events
        total = 0
        batch = self._batches[-1] if self._batches else self._open()
        while True:
            taken = batch.builder.extend(timestamp_ms, envelope, events, first, after)
            n_bytes = envelope.n_bytes * taken + events.n_bytes(first, first + taken)
            batch.join(ticket, n_bytes)
            total += n_bytes
            first += taken
            if first == after:
                return total
            # The first record of a batch fits whatever its size: it was measured against the brokers' limit before.
            batch = self._open()

    def _open(self) -> _Batch:
        batch = _Batch(self._connection.new_batch(), self._clock())
        self._batches.append(batch)
        self._filled.set()
        return batch

    async def run(self) -> None:
        """Hand over one batch after the other, until cancelled. Any error means that the connection is of no use."""
        batches = self._batches
        while True:
            while not batches:
                self._filled.clear()
                await self._filled.wait()
            batch = batches[0]
            batch.submitted_at_s = self._clock()
            delivered = await self._connection.submit(batch.builder, self.partition)
            await delivered
            batches.popleft()
            self.away = False
            self._released(batch.n_bytes)
            for ticket in batch.tickets:
                ticket.done()

    def expire(self, deadline_s: float) -> bool:
        """Tell the senders that have waited longer than `deadline_s`. Returns whether the lane went AWAY just now."""
        too_old = self._clock() - deadline_s
        if not self._batches or self.away:
            return False
        head = self._batches[0]
        if head.submitted_at_s is not None and head.submitted_at_s < too_old:
            self.away = True
            head.builder.close()
            error = BrokerUnavailable(f"Kafka has not acknowledged partition {self.partition} for {deadline_s:g} s")
            head.fail(error)
            self._drop_queued(error)
            return True
        while len(self._batches) > 1 and self._batches[1].opened_at_s < too_old:
            waiting = self._batches[1]
            del self._batches[1]
            self._released(waiting.n_bytes)
            waiting.fail(BrokerUnavailable(f"Kafka is slow: not sent within {deadline_s:g} s"))
        return False

    def abandon(self, error: BrokerUnavailable) -> None:
        """Tell everyone who waits here, and forget everything. `run` must have ended."""
        self._drop_queued(error)
        for head in self._batches:
            self._released(head.n_bytes)
            head.fail(error)
        self._batches.clear()

    def _drop_queued(self, error: BrokerUnavailable) -> None:
        while len(self._batches) > 1:
            waiting = self._batches.pop()
            self._released(waiting.n_bytes)
            waiting.fail(error)
