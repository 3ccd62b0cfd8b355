"""The spool of a worker: takes events in with one sync for many, and delivers them in order once Kafka takes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

from parsers.event import Event
from sources.errors import BrokerUnavailable, Overloaded, SpoolFull, TooLarge, Unavailable
from sources.spool.aside import Refused, set_aside
from sources.spool.entry import encode
from sources.spool.store import New, SpoolStore, Stored
from telemetry.flow import Flow

T = TypeVar("T")

log = logging.getLogger(__name__)

# Events taken apart at once without other requests getting a turn (about 3 ms); more are encoded in the thread.
_FEW = 2_000
# What may wait in memory for the disk. A single larger request is taken when nothing else waits.
_MAX_WAITING_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
# A chunk's records get one timestamp, the arrival of the first.
_CHUNK_SPAN_MS = 1_000
# A worker's web may be up a moment before its spool is.
_OPENING_S = 10.0
# Once full, it takes events again when so much is in use at most: the same host's next are not to slip in between.
_FULL_UNTIL = 0.95
# A disk that refused a write is not asked again for so long.
_DISK_PAUSE_S = 1.0
# Said again at the earliest after so long.
_SAY_AGAIN_S = 60.0
# Records older than that would be dropped by Kafka's retention sooner than one expects.
_OLDEST_TIMESTAMP_MS = 24 * 3600 * 1000
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
# When the spool is nearly empty, new events wait for its end so long, to go to Kafka directly and in order behind it.
HANDOVER_S = 0.5


class Delivery(Protocol):
    """The way into Kafka, as the spool uses it: `sources.producer.GroupCommitProducer`."""

    async def send(self, events: Sequence[Event], arrived_at_ms: int | None = None) -> None: ...
    async def check(self, events: Sequence[Event]) -> int: ...


class _Waiting(NamedTuple):
    new: New
    flow: Flow
    stored: asyncio.Future[None]


class Spool:
    """Events on the local disk, in the order in which they came, until Kafka has acknowledged them.

    One for a worker. Guarantee: what `keep` has returned for is delivered, also after SIGKILL: at least once (a crash
    between Kafka's acknowledgement and its note of it delivers again), in order. Bounded by `max_bytes` of entries;
    when they are reached, or the disk is full, `keep` refuses, and nothing that was taken is dropped.

    States, in `flow.state`: starting, running, "backing off" (Kafka does not take what is here), stopped. `flow` counts
    entries' events: received = sent + rejected + in_spool. What is found at the start counts as received.
    """

    def __init__(
        self,
        path: Path,
        delivery: Delivery,
        flow: Flow,
        flow_of: Callable[[str], Flow],
        *,
        max_bytes: int,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flow = flow
        self._path = path
        self._delivery = delivery
        self._flow_of = flow_of
        self._max_bytes = max_bytes
        self._now_s = now_s
        self._clock = clock
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        self._store: SpoolStore | None = None
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._opened = asyncio.Event()
        self._come = asyncio.Event()
        self._filled = asyncio.Event()
        self._handover: asyncio.Event | None = None
        self._committing: asyncio.Task[None] | None = None
        self._delivering: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._closing = False
        self._full = False
        self._said_full_at_s = -_SAY_AGAIN_S
        self._disk_refuses_until_s = 0.0

    @property
    def holding(self) -> bool:
        """Whether anything is here that Kafka must have before newer events."""
        store = self._store
        return bool(self._waiting_bytes) or store is None or store.first != store.next

    async def start(self) -> None:
        """Open the folder and begin to deliver what is found. Raises: SpoolUnusable."""
        store = self._store = await self._in_thread(SpoolStore, self._path, int(self._now_s() * 1000))
        for name, held in store.held.items():
            source = self._flow_of(name)
            source.accepted += held.events
            for flow in (self.flow, source):
                flow.received += held.events
                flow.in_spool += held.events
        if store.first != store.next:
            log.info("Found %d events in the spool %s, to be delivered first", self.flow.in_spool, self._path)
            self._filled.set()
        self._show()
        self.flow.state = "running"
        self._opened.set()
        self._committing = asyncio.create_task(self._commit(), name="spool: commit")
        self._delivering = asyncio.create_task(self._deliver(), name="spool: deliver")

    async def keep(self, flow: Flow, events: Sequence[Event]) -> None:
        """Return once the events are synced to the disk. `flow` is their source's; its counts are the caller's matter.

        Cancelled, the events are kept all the same and counted as received. Called before `start`, it waits for that a
        moment. Raises: SpoolFull, Overloaded, BrokerUnavailable (not open), with nothing kept.
        """
        arrived_at_ms = int(self._now_s() * 1000)
        if len(events) <= _FEW:
            stored = encode(flow.name, events, arrived_at_ms)
        else:
            stored = await self._in_thread(encode, flow.name, events, arrived_at_ms)
        store = await self._opened_store()
        n_bytes = len(stored)
        self._check_room(store.n_bytes + self._waiting_bytes, n_bytes)
        waiting = _Waiting(New(flow.name, len(events), stored), flow, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._waiting_bytes += n_bytes
        self._quiet.clear()
        self._come.set()
        await waiting.stored

    async def emptied(self) -> bool:
        """Whether newer events may go to Kafka directly: nothing is here. Waits a moment where that is about to be."""
        if self._handover is not None:
            try:
                await asyncio.wait_for(self._handover.wait(), HANDOVER_S)
            except asyncio.TimeoutError:
                self._end_handover()
        return not self.holding

    async def stop_delivering(self) -> None:
        """Deliver no more; events are still kept."""
        await _ended(self._delivering)

    async def close(self) -> None:
        """Keep no more, sync what has come, close the files. Once more does nothing."""
        self._closing = True
        self._opened.set()
        await self.stop_delivering()
        await self._quiet.wait()
        await _ended(self._committing)
        if self._store is not None:
            await self._in_thread(self._store.close)
            self._store = None
        self._thread.shutdown(wait=False)
        self.flow.state = "stopped"

    # Taking in: all that came while the disk was busy goes there together.

    async def _commit(self) -> None:
        while True:
            await self._come.wait()
            self._come.clear()
            waiting, self._waiting = self._waiting, []
            assert self._store is not None
            try:
                await self._in_thread(self._store.append, [each.new for each in waiting])
            except Exception as error:  # rocksdict has no classes of errors
                why = f"the disk takes nothing: {' '.join(str(error).split())}"
                self._disk_refuses_until_s = self._clock() + _DISK_PAUSE_S
                self._say_full(why)
                for each in waiting:
                    if not each.stored.done():
                        each.stored.set_exception(SpoolFull(why))
            else:
                if self._full:
                    log.info("The spool %s takes events again", self._path)
                self._full = False
                self._stored(waiting)
            finally:
                self._waiting_bytes -= sum(len(each.new.stored) for each in waiting)
                if not self._waiting_bytes:
                    self._quiet.set()

    async def _opened_store(self) -> SpoolStore:
        if not self._opened.is_set() and not self._closing:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._opened.wait(), _OPENING_S)
        if self._store is None or self._closing:
            raise BrokerUnavailable("Kafka does not take the events, and the spool is not open")
        return self._store

    def _check_room(self, used_bytes: int, more_bytes: int) -> None:
        if self._clock() < self._disk_refuses_until_s:
            raise SpoolFull("the disk takes nothing")
        limit = int(self._max_bytes * _FULL_UNTIL) if self._full else self._max_bytes
        if used_bytes + more_bytes > limit:
            self._say_full(f"{used_bytes} of {self._max_bytes} bytes are in use")
            raise SpoolFull(f"the spool is full, {self._max_bytes} bytes are allowed")
        if self._waiting and self._waiting_bytes + more_bytes > _MAX_WAITING_BYTES:
            raise Overloaded(f"{self._waiting_bytes} bytes are waiting for the disk")

    def _stored(self, waiting: Sequence[_Waiting]) -> None:
        for each in waiting:
            n_events = each.new.n_events
            self.flow.received += n_events
            self.flow.received_bytes += len(each.new.stored)
            self.flow.in_spool += n_events
            if each.stored.done():  # cancelled: its source has counted it as refused, and yet it is here
                each.flow.received += n_events
                each.flow.in_spool += n_events
            else:
                each.stored.set_result(None)
        self.flow.last_event_at_ms = int(self._now_s() * 1000)
        self._show()
        self._filled.set()

    def _say_full(self, why: str) -> None:
        self.flow.error(f"events are refused: {why}")
        if not self._full and self._clock() - self._said_full_at_s >= _SAY_AGAIN_S:
            log.error("The spool %s refuses events until there is room: %s", self._path, why)
            self._said_full_at_s = self._clock()
        self._full = True

    # Delivering: the oldest first, removed when Kafka has acknowledged it.

    async def _deliver(self) -> None:
        attempt = 0
        while True:
            await self._filled.wait()
            try:
                await self._deliver_chunk(attempt == 0)
            except Unavailable as error:
                self.flow.error(str(error))
            except Exception as error:  # whatever it is, the events stay where they are: say what, and try again
                if not attempt:
                    log.exception("What is in the spool %s can't be delivered.", self._path)
                self.flow.error(f"{type(error).__name__}: {error}")
            else:
                attempt = 0
                self.flow.state = "running"
                continue
            self._end_handover()
            self.flow.state = "backing off"
            await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
            attempt += 1

    async def _deliver_chunk(self, kafka_is_there: bool) -> None:
        store = self._store
        assert store is not None
        if store.first == store.next:
            self._filled.clear()
            self._end_handover()
            return
        chunk: list[Stored] = await self._in_thread(store.read, _CHUNK_BYTES, _CHUNK_SPAN_MS)
        if not kafka_is_there or chunk[-1].number + 1 != store.next or self._waiting_bytes:
            self._end_handover()
        elif self._handover is None:
            self._handover = asyncio.Event()
        await self._send(chunk)
        removing = asyncio.create_task(self._remove(store, chunk))
        try:
            await asyncio.shield(removing)
        except asyncio.CancelledError:
            await asyncio.wait([removing])  # Kafka has it: that is noted and counted, whoever stops
            if error := removing.exception():
                self.flow.error(f"{type(error).__name__}: {error}")
            raise

    async def _remove(self, store: SpoolStore, chunk: Sequence[Stored]) -> None:
        await self._in_thread(store.remove, chunk)
        for _, n_bytes, entry in chunk:
            n_events = len(entry.events)
            for flow in (self.flow, self._flow_of(entry.source)):
                flow.in_spool -= n_events
                flow.sent += n_events
            self.flow.sent_bytes += n_bytes
        self._show()

    async def _send(self, chunk: Sequence[Stored]) -> None:
        events = [event for stored in chunk for event in stored.entry.events]
        arrived_at_ms = max(chunk[0].entry.arrived_at_ms, int(self._now_s() * 1000) - _OLDEST_TIMESTAMP_MS)
        try:
            await self._delivery.send(events, arrived_at_ms)
        except TooLarge:
            await self._send_what_fits(chunk, arrived_at_ms)

    async def _send_what_fits(self, chunk: Sequence[Stored], arrived_at_ms: int) -> None:
        """The brokers take less than was thought when the events were accepted: what they refuse is set aside."""
        aside = self._path.with_name("spool-set-aside.jsonl")
        fitting: list[Event] = []
        refused: list[Refused] = []
        for _, _, (arrived, source, events) in chunk:
            for event in events:
                try:
                    await self._delivery.check([event])
                except TooLarge as error:
                    refused.append(Refused(source, arrived, event))
                    log.error("An event that Kafka will never take is set aside in %s: %s", aside, error)
                else:
                    fitting.append(event)
        await self._delivery.send(fitting, arrived_at_ms)
        await self._in_thread(set_aside, aside, refused)
        for each in refused:
            for flow in (self.flow, self._flow_of(each.source)):
                flow.reject("set_aside")
                flow.sent -= 1  # it is counted there with its chunk

    def _end_handover(self) -> None:
        if self._handover is not None:
            self._handover.set()
            self._handover = None

    def _show(self) -> None:
        store = self._store
        if store is not None:
            self.flow.in_spool_bytes = store.n_bytes
            self.flow.oldest_in_spool_at_ms = store.oldest_at_ms
            self.flow.notes["max_bytes"] = self._max_bytes

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
