"""The way into Kafka that all sources share: events of concurrent requests are committed in groups."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from parsers.event import Event
from parsers.packed import PackedEvents
from sources.addressing import Addressing, check_sizes, portions
from sources.budget import Budget
from sources.connection import DEFAULT_MAX_MESSAGE_BYTES, Connection, connect
from sources.errors import BrokerUnavailable, Overloaded, TooLarge
from sources.lanes import Lane, Run, Ticket
from telemetry.flow import Flow

log = logging.getLogger(__name__)

DELIVERY_DEADLINE_S = 10.0

# A raw record travels on with headers added (reason, error, offset), as a dead letter: room for them is left, so that
# what the brokers take here they take there too.
HEADROOM_BYTES = 4_096
DEFAULT_MAX_EVENT_BYTES = DEFAULT_MAX_MESSAGE_BYTES - HEADROOM_BYTES
# What an event costs in memory besides its bytes while its request is taken apart: objects, headers, tuples.
EVENT_OVERHEAD_BYTES = 200
# Events taken apart, or put into batches, before other requests get a turn (about 3 ms).
_SLICE = 2_000
_SWEEP_S = 0.25
_MAX_BACKOFF_S = 5.0


class GroupCommitProducer:
    """Writes events to one topic with one idempotent producer, `acks=all`; a `sources.base.Publish`.

    Unit of parallelism: a lane for each partition; the partition follows the header `host` as with Kafka's own clients
    (null key where there is none or an empty one). Guarantee: `send` returns after all its events are acknowledged; a
    host's events stay in the order of the calls. Nothing survives a crash: until `send` returns, the sender keeps them.
    Memory: `budget` bounds what waits, here and (by the same object) in bodies being read.

    States, in `flow.state`: starting (no broker yet), running, backing off (no broker, or a partition whose batches are
    not acknowledged within `deadline_s`), stopped. It recovers by itself from all but the last.

    `flow` counts events that were taken: received = sent + rejected + waiting.
    """

    def __init__(
        self,
        bootstrap_servers: Sequence[str],
        topic: str,
        *,
        max_waiting_bytes: int,
        client_id: str,
        flow: Flow,
        deadline_s: float = DELIVERY_DEADLINE_S,
        connect_with: Callable[[Sequence[str], str, str, int], Awaitable[Connection]] = connect,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.budget = Budget(max_waiting_bytes)
        self.flow = flow
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._client_id = client_id
        self._deadline_s = deadline_s
        self._connect_with = connect_with
        self._clock = clock
        self._now_s = now_s
        self._connection: Connection | None = None
        self._loop: asyncio.AbstractEventLoop  # from `start` on; asking for it costs a system call
        self._lanes: list[Lane] = []
        self._lane_tasks: set[asyncio.Task[None]] = set()
        self._addressing = Addressing((), DEFAULT_MAX_EVENT_BYTES, clock)  # until the brokers have told
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False
        self._sending = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def ready(self) -> bool:
        """Whether events are taken now: connected, and not every partition that something waits for is away."""
        return self._connection is not None and not self._stopping and any(not lane.away for lane in self._lanes)

    @property
    def max_events(self) -> int:
        """More events than this in one request can never be taken."""
        return self.budget.limit_bytes // EVENT_OVERHEAD_BYTES

    async def start(self) -> None:
        """Begin connecting, and return at once. While there is no broker `ready` is False and `send` refuses.

        Retries for ever, backing off to 5 s; the log tells each change once.
        """
        self._loop = asyncio.get_running_loop()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"producer of {self._topic}")

    async def stop(self, drain_s: float = DELIVERY_DEADLINE_S) -> None:
        """Take nothing new, wait up to `drain_s` for what was taken, tell the senders of the rest, end the producer."""
        self._stopping = True
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._quiet.wait(), drain_s)
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
        self.flow.state = "stopped"

    async def check(self, events: Sequence[Event]) -> int:
        """The verdict on the events' size that `send` would come to, whether Kafka is there or not.

        Returns the bytes that they take as records, at most. The brokers' limit is the one they told last, Kafka's
        default before that. Raises: TooLarge.
        """
        max_event_bytes = self._addressing.max_event_bytes
        n_bytes = 0
        for number, portion in enumerate(portions(events, _SLICE)):
            if number:
                await asyncio.sleep(0)
            n_bytes += check_sizes(max_event_bytes, *portion)
        self._check_held(n_bytes + EVENT_OVERHEAD_BYTES * len(events))
        return n_bytes

    def _check_held(self, held: int) -> None:
        if held > self.budget.limit_bytes:
            raise TooLarge(
                "request_too_large", f"the request takes {held} bytes of memory, {self.budget.limit_bytes} are allowed"
            )

    async def send(self, events: Sequence[Event], arrived_at_ms: int | None = None) -> None:
        """As `sources.base.Publish` says. Takes at most about `deadline_s`, no time where Kafka is known to be away.

        The records' timestamp is `arrived_at_ms` where it is given, now where not.
        """
        if not events:
            return
        connection = self._connection
        if self._stopping:
            raise BrokerUnavailable("this worker is stopping")
        if connection is None:
            await self.check(events)
            raise BrokerUnavailable(f"no connection to Kafka: {self.flow.last_error or 'connecting'}")
        count = len(events)
        if count <= _SLICE:
            runs, n_bytes = self._addressing.address(PackedEvents.of(events))
        else:
            runs, n_bytes = await self._address_many(connection, events)
        held = n_bytes + EVENT_OVERHEAD_BYTES * count
        if held > self.budget.limit_bytes:
            self._check_held(held)
        for run in runs:
            if run.lane.away:
                raise BrokerUnavailable(f"Kafka does not acknowledge partition {run.lane.partition}")
        if not self.budget.take(held):
            raise Overloaded(f"{self.budget.used_bytes} bytes are waiting for Kafka")
        flow = self.flow
        flow.received += count
        flow.received_bytes += n_bytes
        self._sending += 1
        self._quiet.clear()
        try:
            await self._hand_over(connection, runs, n_bytes, count, arrived_at_ms)
        except BaseException as error:
            flow.reject(error.reason if isinstance(error, BrokerUnavailable) else "cancelled", count)
            raise
        finally:
            self._sending -= 1
            if not self._sending:
                self._quiet.set()
        flow.sent += count
        flow.sent_bytes += n_bytes

    async def _address_many(self, connection: Connection, events: Sequence[Event]) -> tuple[list[Run], int]:
        """The same in slices: a large request is not to hold up the small ones."""
        runs: list[Run] = []
        total = 0
        for portion in portions(events, _SLICE):
            some, n_bytes = self._addressing.address(*portion)
            runs += some
            total += n_bytes
            await asyncio.sleep(0)
            if connection is not self._connection:
                raise BrokerUnavailable("the connection to Kafka was lost")
        return runs, total

    async def _hand_over(
        self, connection: Connection, runs: list[Run], n_bytes: int, n_events: int, arrived_at_ms: int | None
    ) -> None:
        """Put the records into their lanes and wait. What is taken from the budget and not in a lane is given back."""
        timestamp_ms = int(self._now_s() * 1000) if arrived_at_ms is None else arrived_at_ms
        acknowledged: asyncio.Future[None] = self._loop.create_future()
        ticket = Ticket(acknowledged)
        unlaned_bytes = n_bytes + EVENT_OVERHEAD_BYTES * n_events
        turn = 0
        try:
            for run in runs:
                for first in range(run.first, run.after, _SLICE):
                    after = min(first + _SLICE, run.after)
                    unlaned_bytes -= run.lane.append(ticket, timestamp_ms, run, first, after)
                    turn += after - first
                    if turn >= _SLICE:
                        turn = 0
                        await asyncio.sleep(0)
                        if acknowledged.done():
                            await acknowledged
                        if connection is not self._connection:
                            raise BrokerUnavailable("the connection to Kafka was lost")
        except BaseException:
            if not acknowledged.cancel():
                acknowledged.exception()  # it has been told already
            raise
        finally:
            self.budget.give(unlaned_bytes)
        runs.clear()
        ticket.done()
        await acknowledged

    # The supervisor: one task that connects, watches the deadlines, and begins anew when a producer is of no more use.

    async def _supervise(self) -> None:
        backoff_s = 0.1
        while True:
            connection = await self._connect()
            connected_at_s = self._clock()
            try:
                error = await self._watch(connection)
            finally:
                await self._disconnect(connection)
            log.error("The producer failed and is replaced topic=%s error=%s", self._topic, error)
            self.flow.state = "backing off"
            self.flow.error(error)
            # A producer that fails again and again (no permission to write, say) is not to be replaced at full speed.
            backoff_s = 0.1 if self._clock() - connected_at_s > 60 else min(2 * backoff_s, _MAX_BACKOFF_S)
            await asyncio.sleep(backoff_s)

    async def _connect(self) -> Connection:
        backoff_s = 0.1
        told = ""
        while True:
            try:
                connection = await self._connect_with(
                    self._bootstrap_servers, self._topic, self._client_id, int(self._deadline_s * 500)
                )
            except Exception as error:  # whatever it is, events wait for it to end: say what, and try again
                why = str(error) or type(error).__name__
                self.flow.error(why)
                if why != told:
                    log.warning("Waiting for Kafka servers=%s topic=%s: %s", self._bootstrap_servers, self._topic, why)
                    told = why
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
            else:
                break
        self._add_lanes(connection)
        self._connection = connection
        self.flow.state = "running"
        log.info(
            "Connected to Kafka topic=%s partitions=%d max_message_bytes=%d",
            self._topic, len(self._lanes), connection.max_message_bytes,
        )  # fmt: skip
        return connection

    def _add_lanes(self, connection: Connection) -> None:
        """A lane for each partition that has none yet: at first all, later those that the topic has got."""
        known = len(self._lanes)
        for partition in range(known, connection.partitions()):
            lane = Lane(partition, connection, self._clock, self.budget.give)
            self._lanes.append(lane)
            self._lane_tasks.add(asyncio.create_task(lane.run(), name=f"{self._topic}[{partition}]"))
        if len(self._lanes) > known:
            max_event_bytes = connection.max_message_bytes - HEADROOM_BYTES
            self._addressing = Addressing(tuple(self._lanes), max_event_bytes, self._clock)

    async def _watch(self, connection: Connection) -> str:
        """Until a lane fails for good; returns why."""
        while True:
            failed, _ = await asyncio.wait(self._lane_tasks, timeout=_SWEEP_S, return_when=asyncio.FIRST_COMPLETED)
            for task in failed:
                return f"{task.get_name()}: {task.exception()!r}"
            self._add_lanes(connection)
            for lane in self._lanes:
                if lane.expire(self._deadline_s):
                    text = f"partition {lane.partition} is not acknowledged for {self._deadline_s:g} s"
                    self.flow.error(text)
                    log.warning("Answering 503 until Kafka acknowledges again topic=%s: %s", self._topic, text)
            away = any(lane.away for lane in self._lanes)
            if not away and self.flow.state == "backing off":
                log.info("Kafka acknowledges again topic=%s", self._topic)
            self.flow.state = "backing off" if away else "running"

    async def _disconnect(self, connection: Connection) -> None:
        self._connection = None
        lanes, self._lanes = self._lanes, []
        tasks, self._lane_tasks = self._lane_tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        error = BrokerUnavailable("the connection to Kafka was lost")
        for lane in lanes:
            lane.abandon(error)
        try:
            await connection.close(timeout_s=2.0)
        except Exception:
            log.warning("A producer did not end well; it is replaced all the same.", exc_info=True)
