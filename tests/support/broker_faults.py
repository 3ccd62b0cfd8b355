"""A fault at every call that a monitoring lane makes: of its Kafka clients, on the wire below them, and of its store.

`Faults` gives each call a name, so that a clean run tells which there are, and each can then be failed in turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from streaming.changelog import Follower
from streaming.errors import StoreUnwritable
from streaming.store import PartitionStore


class Mode(Enum):
    """What happens to a call."""

    REFUSED = "refused"  # an error, and nothing was done
    LOST = "its answer lost"  # done, and then an error
    STALLED = "stalled"  # neither, until whoever waits has given up
    TAKEN_OVER = "paused until another worker has taken over"  # and then it goes on, a zombie
    KILLED = "killed there"  # the process is gone; another starts on the same disk


PAUSING = (Mode.TAKEN_OVER, Mode.KILLED)


class Killed(BaseException):
    """The process ends here."""


class Faults:
    """Fails one call of a run, the one named `point`; without one it only writes the calls down.

    A name is `<phase>: <call>#<n>` or, on the wire, `<phase>: > <request>#<n>`.
    """

    def __init__(self, point: str | None = None, mode: Mode = Mode.REFUSED) -> None:
        self.phase = "open"
        self.calls: list[str] = []
        self.producers: list[AIOKafkaProducer] = []
        self.reached = asyncio.Event()
        self._point, self._mode = point, mode
        self._go_on = asyncio.Event()
        self._counts: Counter[str] = Counter()

    def go_on(self) -> None:
        """Let a call that is paused go on, and one that is stalled end."""
        self._go_on.set()

    async def call(self, names: list[str], perform: Callable[[], Awaitable[Any]]) -> Any:
        """A call to a broker."""
        if not self._strikes(names):
            return await perform()
        self.reached.set()
        if self._mode is Mode.REFUSED:
            raise KafkaConnectionError(f"{names} was refused")
        if self._mode is Mode.LOST:
            await perform()
            raise KafkaConnectionError(f"the answer to {names} was lost")
        await self._go_on.wait()
        if self._mode is Mode.TAKEN_OVER:
            return await perform()
        raise KafkaConnectionError(f"{names} never came to an end")

    def call_store(self, name: str, perform: Callable[[], None]) -> None:
        """A call of the local store, which waits for nothing."""
        if not self._strikes([name]):
            return perform()
        if self._mode in (Mode.LOST, Mode.TAKEN_OVER):
            perform()
        self.reached.set()
        if self._mode in PAUSING:
            raise Killed
        raise StoreUnwritable(f"{name} failed")

    def _strikes(self, names: list[str]) -> bool:
        labels = []
        for name in names:
            labels.append(f"{self.phase}: {name}#{self._counts[f'{self.phase}: {name}']}")
            self._counts[f"{self.phase}: {name}"] += 1
        self.calls += labels
        return self._point in labels and not self.reached.is_set()

    # -- the parts of a lane

    def producer(self, **options: Any) -> AIOKafkaProducer:
        """A producer whose calls and requests may fail."""
        made = _Producer(self, **options)
        self.producers.append(made)
        return made

    def consumer(self, **options: Any) -> AIOKafkaConsumer:
        """A consumer whose calls and requests may fail."""
        return _Consumer(self, **options)

    def watch_wire(self, client: Any) -> None:
        """Count and fail the requests of a client."""
        send = client.send

        async def watched(node_id: Any, request: Any, **options: Any) -> Any:
            kind = type(request).__name__.removesuffix("Request")
            if kind == "Metadata":  # asked for whenever the client likes: no two runs are the same
                return await send(node_id, request, **options)
            return await self.call(_request_names(kind, request), lambda: send(node_id, request, **options))

        client.send = watched


def _request_names(kind: str, request: Any) -> list[str]:
    """How many topics go into one request is a matter of time: a request has a name for each."""
    if kind == "Produce":
        return [f"> Produce {_plain(topic)}" for topic, _ in request._topics]
    if kind == "AddPartitionsToTxn":
        return [f"> AddPartitionsToTxn {_plain(topic)}" for topic, _ in request._topics]
    if kind == "FindCoordinator":
        return [f"> FindCoordinator {'transaction' if request._coordinator_type else 'group'}"]
    return [f"> {kind}"]


def _plain(topic: str) -> str:
    return topic.partition(".")[2] or topic


class _Producer(AIOKafkaProducer):
    def __init__(self, faults: Faults, **options: Any) -> None:
        super().__init__(**options)
        self._faults = faults
        faults.watch_wire(self.client)

    async def start(self) -> None:
        await self._faults.call(["producer.start"], super().start)

    async def begin_transaction(self) -> None:
        await self._faults.call(["begin_transaction"], super().begin_transaction)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> asyncio.Future[Any]:
        send = super().send_batch
        sent = await self._faults.call([f"send_batch {_plain(topic)}"], lambda: send(batch, topic, partition=partition))
        sent.add_done_callback(lambda done: done.cancelled() or done.exception())

        async def acknowledged() -> Any:
            return await sent

        return asyncio.ensure_future(self._faults.call([f"acknowledgement of {_plain(topic)}"], acknowledged))

    async def send_offsets_to_transaction(self, offsets: Any, group_id: str) -> None:
        send = super().send_offsets_to_transaction
        await self._faults.call(["send_offsets_to_transaction"], lambda: send(offsets, group_id))

    async def commit_transaction(self) -> None:
        await self._faults.call(["commit_transaction"], super().commit_transaction)

    async def stop(self) -> None:
        stop = super().stop
        try:
            await self._faults.call(["producer.stop"], stop)
        except BaseException:
            await stop()  # of this process nothing may be left over, whatever the lane was made to believe
            raise


class _Consumer(AIOKafkaConsumer):
    def __init__(self, faults: Faults, **options: Any) -> None:
        super().__init__(**options)
        self._faults = faults
        faults.watch_wire(self._client)

    async def start(self) -> None:
        await self._faults.call(["reader.start"], super().start)

    async def beginning_offsets(self, partitions: Any) -> Any:
        ask = super().beginning_offsets
        return await self._faults.call(["reader.beginning_offsets"], lambda: ask(partitions))

    async def end_offsets(self, partitions: Any) -> Any:
        ask = super().end_offsets
        return await self._faults.call(["reader.end_offsets"], lambda: ask(partitions))

    async def getmany(self, *partitions: Any, **options: Any) -> Any:
        fetch = super().getmany
        return await self._faults.call(["reader.getmany"], lambda: fetch(*partitions, **options))


class FaultyFollower(Follower):
    """Gives out partitions whose writes may fail."""

    def __init__(self, faults: Faults, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._faults = faults

    async def release(self, partition: int) -> PartitionStore:
        """As a Follower's."""
        return _Partition(self._faults, await super().release(partition))  # type: ignore[return-value]


class _Partition:
    def __init__(self, faults: Faults, store: PartitionStore) -> None:
        self._faults, self._store = faults, store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apply(self, changes: Any, position: int) -> None:
        self._faults.call_store("store.apply", lambda: self._store.apply(changes, position))
