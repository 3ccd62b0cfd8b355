"""One lane per assigned partition: recovers, handles batch after batch in order, and lets go in time.

The agent gives every event to `Lanes.deliver` and never blocks; each partition then goes at its own pace in its own
task, so that transactions of different partitions overlap and a slow one holds nobody back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from faust.types import TP, EventT
from mode import Service

from streaming.batches import Batch
from streaming.consumer import BatchConsumer
from streaming.errors import StreamError

log = logging.getLogger(__name__)

BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Handler(Protocol):
    """What a lane does with its partition. Called from the lane's task only, never concurrently.

    Any exception with `retriable` true (or without the attribute) makes the lane hold the partition, `abandon`, wait
    and `open` again: everything not acknowledged is delivered again. `retriable = False` stops the partition for good.
    """

    tick_s: float  # how often `tick` is called at least
    linger_s: float  # batches that come sooner than this after the last ones are collected and handled together

    async def open(self) -> int:
        """Take the partition over and recover. Returns the offset to read from."""

    async def handle(self, batches: Sequence[Batch]) -> int | None:
        """Handle batches in offset order. Returns the offset up to which everything is durable, None if unchanged."""

    async def tick(self) -> int | None:
        """Do what is due by time. Returns as `handle`."""

    async def close(self) -> int | None:
        """Finish what can be finished quickly and let go. Returns as `handle`."""

    async def abandon(self) -> None:
        """Let go at once, keeping nothing that is not durable. Must not raise."""


HandlerFactory = Callable[[TP], Handler]


class LaneLost(StreamError):
    """A lane's task ended though nobody asked it to: a bug, and the worker ends rather than forget the partition."""

    retriable = False
    reason = "lane_lost"


class Lane:
    """The life of one partition in this worker.

    States: opening -> running -> (backing off -> opening)* -> closed | failed. In `failed` (a fatal error) the
    partition stays assigned, delivers nothing and keeps its error for `/ready` and `status`.
    """

    def __init__(self, tp: TP, handler: Handler, consumer: BatchConsumer) -> None:
        self.tp = tp
        self.state = "opening"
        self.error: str | None = None
        self.position: int | None = None  # next offset to be handled
        self._handler = handler
        self._consumer = consumer
        self._epoch: int | None = None
        self._queue: deque[EventT] = deque()
        self._unacknowledged: deque[EventT] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._open = False

    def deliver(self, event: EventT) -> None:
        """Queue an event; stale ones are dropped."""
        batch: Batch = event.value
        if batch.epoch == self._epoch:
            self._queue.append(event)
            self._wake.set()

    def request_close(self) -> None:
        """Ask the lane to finish what it has taken up and end."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Run until closed, failed or cancelled."""
        attempt = 0
        try:
            while not self._closing:
                opened_at = time.monotonic()
                try:
                    await self._open_and_handle()
                except Exception as exc:
                    self._let_go()
                    await self._handler.abandon()
                    self._open = False
                    self.error = f"{type(exc).__name__}: {exc}"
                    if not getattr(exc, "retriable", True):
                        self.state = "failed"
                        log.error("Partition stopped %s[%d]: %s", self.tp.topic, self.tp.partition, self.error)
                        return
                    attempt = 0 if time.monotonic() - opened_at > 60 else attempt
                    pause_s = BACKOFF_S[min(attempt, len(BACKOFF_S) - 1)]
                    attempt += 1
                    self.state = "backing off"
                    known = hasattr(exc, "retriable")
                    log.warning(
                        "Lane starts over %s[%d] in %s s: %s",
                        self.tp.topic,
                        self.tp.partition,
                        pause_s,
                        self.error,
                        exc_info=None if known else exc,
                    )
                    await self._pause(pause_s)
            await self._finish()
        finally:
            if self._open:  # cancelled: out of time
                self._open = False
                await self._handler.abandon()
            if self.state != "failed":
                self.state = "closed"

    async def _open_and_handle(self) -> None:
        self.state = "opening"
        self._open = True  # as soon as it began: one that is cancelled has something to let go of
        start = await self._handler.open()
        self.position = start
        epoch = await self._consumer.release(self.tp, start)
        if epoch is None:  # revoked meanwhile: the lane is about to be closed
            self._closing = True
            return
        self._epoch = epoch
        self.state = "running"
        self.error = None
        handled_at = 0.0
        while not self._closing:
            if not self._queue:
                await self._pause(self._handler.tick_s)
            if self._queue and not self._closing:
                early_s = handled_at + self._handler.linger_s - time.monotonic()
                if early_s > 0:
                    await asyncio.sleep(early_s)
                handled_at = time.monotonic()
                await self._handle_queued()
            self._acknowledge(await self._handler.tick())

    async def _handle_queued(self) -> None:
        batches = []
        while self._queue:
            event = self._queue.popleft()
            batches.append(event.value)
            self._unacknowledged.append(event)
            self._consumer.taken(event.value)
        durable = await self._handler.handle(batches)
        self.position = batches[-1].next_offset
        for batch in batches:
            batch.drop_records()
        self._acknowledge(durable)

    def _acknowledge(self, durable: int | None) -> None:
        if durable is None:
            return
        while self._unacknowledged and self._unacknowledged[0].value.next_offset <= durable:
            self._unacknowledged.popleft().ack()

    async def _finish(self) -> None:
        if self._open:
            try:
                self._acknowledge(await self._handler.close())
                self._open = False
            except Exception as exc:  # the storage is away, say: the next owner reads again what is not durable
                log.warning("Partition let go unfinished %s[%d]: %r", self.tp.topic, self.tp.partition, exc)
                self._open = False
                await self._handler.abandon()
        self._let_go()

    def _let_go(self) -> None:
        self._epoch = None
        self._queue.clear()
        self._unacknowledged.clear()
        if not self._closing:
            self._consumer.hold(self.tp)

    async def _pause(self, seconds: float) -> None:
        """Wait for an event, for a request to close, or for the time to pass."""
        self._wake.clear()
        if self._closing or self._queue:
            return
        try:
            await asyncio.wait_for(self._wake.wait(), timeout=seconds)
        except asyncio.TimeoutError:
            return


class Lanes(Service):
    """All lanes of one application (one consumer group).

    `close_within_s` bounds what a revocation or shutdown waits for; what is not done by then is abandoned and read
    again by the next owner. `may_lag`: these lanes feed a destination, which while it is away only grows their lag.
    """

    mundane_level = "debug"

    def __init__(
        self, app: Any, topic: str, handler_factory: HandlerFactory, *, close_within_s: float, may_lag: bool = False
    ) -> None:
        super().__init__()
        self.may_lag = may_lag
        self.app = app
        self.topic = topic
        self.lanes: dict[TP, Lane] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}
        self._handler_factory = handler_factory
        self._close_within_s = close_within_s

    def deliver(self, event: EventT) -> None:
        """Hand an event to the lane of its partition; without a lane it is stale."""
        lane = self.lanes.get(event.message.tp)
        if lane is not None:
            lane.deliver(event)

    async def on_assigned(self, assigned: Iterable[TP]) -> None:
        """Open a lane for each assigned partition of the topic; returns at once, recovery goes on behind."""
        for tp in sorted(assigned):
            if tp.topic == self.topic and tp not in self._tasks:
                lane = self.lanes[tp] = Lane(tp, self._handler_factory(tp), self.app.consumer)
                self._tasks[tp] = asyncio.get_running_loop().create_task(lane.run(), name=f"lane {tp}")
                self._tasks[tp].add_done_callback(self._report)

    async def on_revoked(self, revoked: Iterable[TP]) -> None:
        """Close the lanes of revoked partitions, within the budget, and commit what they finished."""
        closing = {tp: self._tasks.pop(tp) for tp in list(revoked) if tp in self._tasks}
        for tp in closing:
            self.lanes[tp].request_close()
        if closing:
            _, late = await asyncio.wait(closing.values(), timeout=self._close_within_s)
            for task in late:
                task.cancel()
            if late:
                log.warning("Lanes were abandoned after %s s: %s", self._close_within_s, [t.get_name() for t in late])
                await asyncio.wait(late, timeout=5.0)
            await self.app.consumer.commit_now(closing)
        for tp in closing:
            self.lanes.pop(tp, None)

    async def close_all(self) -> None:
        """Close every lane; the application is stopping."""
        await self.on_revoked(list(self._tasks))

    def _report(self, task: asyncio.Task[None]) -> None:
        """A lane that ends without having been asked to, and without saying why, would be a partition forgotten."""
        asked = task not in self._tasks.values()
        failed = any(lane.state == "failed" for tp, lane in self.lanes.items() if self._tasks.get(tp) is task)
        if not asked and not failed:
            exc = None if task.cancelled() else task.exception()
            log.error("A lane ended unexpectedly: %s", task.get_name(), exc_info=exc)
            self._crash = asyncio.ensure_future(self.app.crash(exc or LaneLost(f"{task.get_name()} was cancelled")))

    @property
    def ready(self) -> bool:
        """Whether work may be sent to this worker as far as its lanes go; never with a partition that has failed."""
        states = {lane.state for lane in self.lanes.values()}
        return "failed" not in states if self.may_lag else states <= {"running"}

    def problems(self) -> list[str]:
        """What keeps lanes from running, for `/ready` and `status`."""
        return [
            f"{tp.topic}[{tp.partition}] {lane.state}" + (f": {lane.error}" if lane.error else "")
            for tp, lane in sorted(self.lanes.items())
            if lane.state != "running"
        ]

    def owned(self) -> list[int]:
        """Partitions that have a lane here."""
        return sorted(tp.partition for tp in self.lanes)
