"""The monitoring transaction with a fault at every call, on a real broker: each record still counts once.

A clean run tells which calls there are: of the clients, of the requests that these send, and of the local store. Then
each is refused, loses its answer, stalls past the deadline, is where the process is killed, or where it is paused until
another worker has taken over and then goes on. After each the partition is judged.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.errors import KafkaError
from faust.types import TP

from agents.access_log import AccessLog
from agents.business_log import BusinessLog
from agents.monitor import PartitionMonitor
from agents.outcome import Outcome
from streaming import changelog, transactions
from streaming.batches import Batch
from streaming.changelog import catch_up, reader
from streaming.errors import OffsetsGone, StreamError
from streaming.exactly_once import MARKER, ExactlyOnceHandler, Marker
from streaming.store import PartitionStore, Reader, Store
from streaming.transactions import OFFSET_METADATA
from tables.access_query import access_windows
from tables.business_query import business_windows
from tables.memory import MemoryStore
from tests.support.broker_faults import PAUSING, Faults, FaultyFollower, Killed, Mode
from tests.support.kafka import LiveKafka
from tests.support.monitoring import (
    ACCESS,
    EPOCH_MS,
    ORDERS,
    RETENTION_S,
    WINDOW_S,
    Model,
    Monitored,
    Raw,
    access_headers,
    access_line,
    business_headers,
    business_line,
)
from tests.support.polling import wait_until_async

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PARTITIONS = 6  # scenarios that run side by side
BATCH = 8
STALL_S = 2.0  # what is waited for a call that never ends
PATIENCE_S = 60.0
# Refusing a zombie's offset, Kafka 3.9 forgets the new owner's that it has not finished to commit; the log has it.
FORGETS = ("> FindCoordinator group", "> TxnOffsetCommit")
OUTPUTS = ("access-log", "business-orders", "dead-letter")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a call that never ends gives up soon."""
    monkeypatch.setattr(transactions, "STOP_S", 0.5)
    # Not too soon: a call that gives up because the machine stood still may end a run before its fault is due.
    monkeypatch.setattr(changelog, "CALL_TIMEOUT_S", 4 * STALL_S)


class Cluster:
    """The topics, and clients that no fault strikes."""

    def __init__(self, kafka: LiveKafka) -> None:
        self.kafka = kafka
        self.name = f"t{uuid.uuid4().hex[:8]}"
        self.group, self.raw, self.changelog = f"{self.name}-monitor", f"{self.name}.raw-log", f"{self.name}.changelog"

    async def __aenter__(self) -> Cluster:
        for topic in (self.raw, *map(self.output, OUTPUTS)):
            await asyncio.to_thread(self.kafka.create_topic, topic, PARTITIONS)
        await asyncio.to_thread(self.kafka.create_topic, self.changelog, PARTITIONS, cleanup_policy="compact")
        self.admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        self.producer = AIOKafkaProducer(bootstrap_servers=self.kafka.bootstrap, enable_idempotence=True)
        await self.admin.start()
        await self.producer.start()
        await wait_until_async(
            self._has_coordinator, PATIENCE_S, "the group's coordinator", retry_on=(KafkaError, KeyError)
        )
        return self

    async def _has_coordinator(self) -> bool:
        return await self.committed(0) == (None, "")

    async def __aexit__(self, *_: object) -> None:
        await self.producer.stop()
        await self.admin.close()

    def output(self, topic: str) -> str:
        return f"{self.name}.{topic}"

    async def committed(self, partition: int) -> tuple[int | None, str]:
        tp = TopicPartition(self.raw, partition)
        told = (await self.admin.list_consumer_group_offsets(self.group, partitions=[tp]))[tp]
        return (None, "") if told.offset < 0 else (int(told.offset), told.metadata)


class Prefixed:
    """A monitor whose outputs go to this test's topics."""

    def __init__(self, monitor: PartitionMonitor, cluster: Cluster) -> None:
        self._monitor, self._cluster = monitor, cluster
        self.discard, self.rewind = monitor.discard, monitor.rewind

    def process(self, records: Sequence[Raw], forward_from: int) -> Outcome:
        outcome = self._monitor.process(records, forward_from)
        renamed = [each._replace(topic=self._cluster.output(each.topic)) for each in outcome.forwards]
        return Outcome(renamed, outcome.changes, outcome.tallies)


class Partition:
    """One partition of raw-log, two disks with state of it, and what must have come of it."""

    def __init__(self, cluster: Cluster, number: int, stores: Sequence[Store]) -> None:
        self.cluster, self.number, self.stores = cluster, number, list(stores)
        self.model = Model()
        self.expected: Counter[tuple[str, str]] = Counter()  # (topic, raw header)
        self.end = 0
        self._reference = Monitored(partition=number)
        self._rng = random.Random(number)
        self._arrival_ms = EPOCH_MS

    async def scenario(self, point: str | None, mode: Mode) -> Faults:
        """Two batches and one fault; then everything must be right. Returns the calls."""
        batches = [await self.produce(), await self.produce()]
        self.stores.reverse()
        mine, other = self.stores
        if (mine.partition(self.number).position() or 0) >= (other.partition(self.number).position() or 0):
            mine.partition(self.number).clear()  # a worker has something to read of the changelog, always
        faults = Faults(point, mode)
        if mode not in PAUSING:
            deadline_s = STALL_S if mode is Mode.STALLED else PATIENCE_S
            failures = await self.work(self.handler(mine, faults, deadline_s), batches, faults)
            faults.go_on()
            last = mine
            assert point is None or mode is not Mode.STALLED or failures or ">" in point or "stop" in point, point
        else:
            last = await self._taken_over(faults, mode, batches)
        assert point is None or faults.reached.is_set(), f"{point} was not called: {faults.calls}"
        await self.judge(
            last.partition(self.number),
            may_forget=mode is Mode.TAKEN_OVER and any(call in str(point) for call in FORGETS),
        )
        return faults

    async def _taken_over(self, faults: Faults, mode: Mode, batches: Sequence[Sequence[Raw]]) -> Store:
        mine, other = self.stores
        takes_over = mine if mode is Mode.KILLED else other
        handler = self.handler(mine, faults)
        first = asyncio.create_task(self.work(handler, batches, faults, once=True))
        reached = asyncio.create_task(faults.reached.wait())
        await asyncio.wait({first, reached}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
        reached.cancel()
        clean = Faults()
        await self.work(self.handler(takes_over, clean), batches, clean)
        if mode is Mode.KILLED:
            first.cancel()
        faults.go_on()
        await asyncio.wait({first}, timeout=PATIENCE_S)
        assert first.done()
        if not first.cancelled() and isinstance(first.exception(), Killed):
            await handler.abandon()
        elif not first.cancelled():
            first.result()
        self.stores = [takes_over, mine if takes_over is other else other]
        return takes_over

    def handler(self, store: Store, faults: Faults, deadline_s: float = PATIENCE_S) -> ExactlyOnceHandler[Any]:
        cluster = self.cluster
        bootstrap = [cluster.kafka.bootstrap]

        async def committed(tp: TP) -> tuple[int | None, str]:
            async def ask() -> tuple[int | None, str]:
                return await cluster.committed(tp.partition)

            return await asyncio.wait_for(faults.call(["committed"], ask), deadline_s)

        def new_monitor(partition: int, reader: Reader) -> Any:
            routes = [AccessLog(ACCESS), BusinessLog(ORDERS)]
            monitor = PartitionMonitor(partition, routes, reader, window_s=WINDOW_S, retention_s=RETENTION_S)
            return Prefixed(monitor, cluster)

        return ExactlyOnceHandler(
            TP(cluster.raw, self.number),
            group=cluster.group,
            changelog=cluster.changelog,
            bootstrap_servers=bootstrap,
            follower=FaultyFollower(faults, bootstrap, cluster.changelog, PARTITIONS, store),
            processor_factory=new_monitor,
            committed=committed,
            on_committed=lambda *_: None,
            new_producer=faults.producer,
            new_consumer=faults.consumer,
            deadline_s=deadline_s,
        )

    async def work(
        self, handler: ExactlyOnceHandler[Any], batches: Sequence[Sequence[Raw]], faults: Faults, *, once: bool = False
    ) -> list[Exception]:
        """What a lane does with its handler. Returns why it had to start over."""
        failures: list[Exception] = []
        give_up_at = time.monotonic() + 3 * PATIENCE_S
        try:
            while not (once and failures) and time.monotonic() < give_up_at:
                try:
                    faults.phase = "open"
                    start = await handler.open()
                    for number, batch in enumerate(batches):
                        faults.phase = "batch" if number == 0 else "next batch"
                        records = [record for record in batch if record.offset >= start]
                        if records:
                            await handler.handle([Batch(handler.tp, records, 0)])
                    faults.phase = "close"
                    await handler.close()
                    return failures
                except StreamError as exc:  # anything else a lane would log with its traceback
                    failures.append(exc)
                    await handler.abandon()
                    handler._writer._deadline_s = PATIENCE_S  # the one stall is over; a machine that is busy is slow
        except asyncio.CancelledError:
            await handler.abandon()
            raise
        assert once, f"{handler.tp} does not recover: {failures}"
        return failures

    async def produce(self) -> list[Raw]:
        """A batch of new records in raw-log, of every kind; time goes on, so that windows expire."""
        records = []
        for number in range(BATCH):
            self._arrival_ms += self._rng.randrange(2_000)
            at_ms = self._arrival_ms - self._rng.choice((0, 0, 5_000, 30_000))
            headers, topic = access_headers(self._rng.choice(("shop", "blog"))), "access-log"
            if number % 4 == 1:
                headers, topic = business_headers(), "business-orders"
                value = business_line(at_ms, status=self._rng.choice(("paid", "open")), amount=0.1, items=number)
            elif number % 4 == 3 and number < 4:
                value, topic = b"this is no access line", "dead-letter"
            else:
                value = access_line(at_ms, f"/{number}", size=self._rng.randrange(1000))
            record = Raw(self.end, self._arrival_ms, value, headers)
            records.append(record)
            self.expected[self.cluster.output(topic), f"{self.number}/{self.end}"] += 1
            self.end += 1
        futures = [
            await self.cluster.producer.send(
                self.cluster.raw, record.value, record.key, self.number, record.timestamp, list(record.headers)
            )
            for record in records
        ]
        for record, future in zip(records, futures, strict=True):
            assert (await future).offset == record.offset
            if record.value != b"this is no access line":
                self.model.add(record)
            else:
                self.model.clock_s = max(self.model.clock_s, record.timestamp // 1000 // WINDOW_S * WINDOW_S)
        self._reference.run(records)
        return records

    async def judge(self, store: PartitionStore, *, may_forget: bool = False) -> None:
        marker = Marker.of(store)
        assert marker == Marker(self.end, self.end)
        # A broker answers a commit before the topics have its markers; a new owner's InitProducerId waits for them.
        if not may_forget:
            await wait_until_async(self.committed_all, PATIENCE_S, f"the committed offset {self.end}")
        content = _content(store)
        windows = Monitored(partition=self.number, store=_memory(content)).drain()
        assert windows == self._reference.drain(), "the windows are not what the records add up to"
        copy = Copy(self.number)
        async with reader([self.cluster.kafka.bootstrap]) as consumer:

            async def as_far() -> bool:
                await catch_up(consumer, self.cluster.changelog, copy)  # type: ignore[arg-type]
                return copy.content.get(MARKER) == content[MARKER]

            await wait_until_async(as_far, PATIENCE_S, "the changelog's last marker")
        assert copy.content == content, "the store is not what the changelog says"

    async def committed_all(self) -> bool:
        return await self.cluster.committed(self.number) == (self.end, OFFSET_METADATA)

    def judge_windows(self) -> None:
        """What the API answers is what an independent model counts."""
        store = self.stores[0].partition(self.number)
        oldest_s = self.model.clock_s - RETENTION_S
        clock = {"window_s": WINDOW_S, "retention_s": RETENTION_S}
        requests: Counter[tuple[int, str]] = Counter()
        for (start_s, service, _), number in self.model.requests.items():
            if start_s >= oldest_s:
                requests[start_s, service] += number
        rows = access_windows([store], **clock)
        assert {(row["start"], row["service"]): row["requests"] for row in rows} == requests
        pieces = sum(number for start_s, number in self.model.pieces.items() if start_s >= oldest_s)
        assert sum(row["pieces"] for row in business_windows([store], ORDERS, **clock)) == pieces


class Copy:
    """A partition of the changelog as whoever reads it sees it."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.content: dict[bytes, bytes] = {}
        self._position: int | None = None

    def apply(self, changes: dict[bytes, bytes | None], position: int) -> None:
        for key, value in changes.items():
            if value is None:
                self.content.pop(key, None)
            else:
                self.content[key] = value
        self._position = position

    def position(self) -> int | None:
        return self._position

    def usable(self) -> bool:
        return True


def _content(store: PartitionStore) -> dict[bytes, bytes]:
    """What the changelog has too."""
    local = (b"\x00position", b"\x00written-at")
    return {key: value for key, value in store.range(b"", b"\xff" * 8) if key not in local}


def _memory(content: dict[bytes, bytes]) -> MemoryStore:
    store = MemoryStore()
    store.write({key: value for key, value in content.items() if not key.startswith(b"\x00")})
    return store


@pytest.fixture
async def cluster(kafka: LiveKafka) -> AsyncIterator[Cluster]:
    async with Cluster(kafka) as made:
        yield made


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[Store]]:
    made = [Store(tmp_path / name / "tables") for name in ("one", "two")]
    yield made
    for store in made:
        store.close()


def points_of(calls: Sequence[str]) -> list[str]:
    """Each call once, in order; the second batch is there to go on after a fault in the first, with the same calls.

    Of calls whose number is a matter of time only the first.
    """
    by_chance = ("> Fetch", "reader.getmany", "> Produce", "> AddPartitions", "> FindCoordinator")
    return [
        point
        for point in dict.fromkeys(calls)
        if not point.startswith("next") and (point.endswith("#0") or not any(each in point for each in by_chance))
    ]


async def test_a_fault_at_every_call_of_the_monitoring_transaction(
    cluster: Cluster, disks: list[Store], pytestconfig: pytest.Config
) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    partitions = [Partition(cluster, number, disks) for number in range(PARTITIONS)]
    await partitions[0].scenario(None, Mode.REFUSED)
    clean = [await partitions[0].scenario(None, Mode.REFUSED) for _ in range(2)]
    points = points_of(clean[0].calls)
    assert set(points) == set(points_of(clean[1].calls)), "two clean runs make the same calls"
    for part in REQUIRED:
        assert any(part in point for point in points), f"no call {part} among {points}"

    long = pytestconfig.getoption("--fault-minutes") > 0
    scenarios = [(point, mode) for point in points for mode in Mode if long or not _told_by_another(point, mode)]
    random.Random(pytestconfig.getoption("--fault-seed")).shuffle(scenarios)
    waiting = list(scenarios)
    began, cpu = time.monotonic(), time.process_time()

    async def work_off(partition: Partition) -> None:
        while waiting:
            point, mode = waiting.pop()
            first = partition.end
            try:
                await partition.scenario(point, mode)
            except BaseException as exc:
                exc.args = (f"{point} {mode.value}, raw offsets {partition.number}/{first}...: {exc}",)
                raise
            partition.judge_windows()

    await asyncio.gather(*map(work_off, partitions))
    gc.collect()
    assert not reported, "asyncio would have told the operator of errors that nobody waited for"
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    print(f"\n{len(scenarios)} faults at {len(points)} calls in {took_s:.1f} s, {cpu_s:.1f} s of CPU")
    for topic in map(cluster.output, OUTPUTS):
        written = Counter(
            (topic, dict(record.headers)["raw"].decode())
            for record in await asyncio.to_thread(cluster.kafka.consume, topic)
        )
        expected = Counter({key: n for each in partitions for key, n in each.expected.items() if key[0] == topic})
        assert written == expected, f"{topic}: missing {expected - written}, too many {written - expected}"


REQUIRED = (
    *("producer.start", "> InitProducerId", "reader.start", "reader.getmany", "committed", "open: store.apply"),
    *("begin_transaction", "send_batch changelog", "acknowledgement of access-log", "> AddPartitionsToTxn dead-letter"),
    *("send_offsets_to_transaction", "> TxnOffsetCommit", "commit_transaction", "> EndTxn", "batch: store.apply"),
    *("> Produce business-orders", "> AddOffsetsToTxn", "close: producer.stop"),
)


def _told_by_another(point: str, mode: Mode) -> bool:
    """On the wire, aiokafka just sends again what was refused; to be killed or stall there is to do so in the call."""
    return ">" in point and mode in (Mode.REFUSED, Mode.KILLED, Mode.STALLED)


async def test_offsets_dropped_while_a_lane_runs_stop_it(cluster: Cluster, disks: list[Store]) -> None:
    partition = Partition(cluster, 0, disks)
    first, second = await partition.produce(), await partition.produce()
    handler = partition.handler(disks[0], Faults())
    await handler.open()
    await handler.handle([Batch(handler.tp, first, 0)])
    left = second[3:]  # a consumer just goes on with what there is
    await cluster.admin.delete_records({TopicPartition(cluster.raw, 0): RecordsToDelete(left[0].offset)})
    with pytest.raises(OffsetsGone, match=f"offsets {second[0].offset} to {left[0].offset - 1} are gone"):
        await handler.handle([Batch(handler.tp, left, 0)])
    await handler.abandon()
    assert Marker.of(disks[0].partition(0)) == Marker(second[0].offset, second[0].offset)
    with pytest.raises(OffsetsGone, match="accept-gap"):
        await handler.open()
    await handler.abandon()


async def test_offsets_that_transactions_take_are_no_gap(cluster: Cluster, disks: list[Store]) -> None:
    partition = Partition(cluster, 0, disks)
    producer = AIOKafkaProducer(bootstrap_servers=cluster.kafka.bootstrap, transactional_id=cluster.name)
    await producer.start()
    for _ in range(2):
        async with producer.transaction():
            await producer.send_and_wait(cluster.raw, b"x", partition=0)
    await producer.stop()
    handler = partition.handler(disks[0], Faults())
    await handler.open()
    for offset in (0, 2):  # behind each is a marker
        await handler.handle([Batch(handler.tp, [Raw(offset, EPOCH_MS, b"x")], 0)])
    await handler.close()
    assert Marker.of(disks[0].partition(0)) == Marker(3, 3)


async def test_a_changelog_that_lost_its_end_is_counted_again_and_nothing_is_written_twice(
    cluster: Cluster, disks: list[Store]
) -> None:
    """Transactions keep changelog and offset together; a broker that loses the changelog's end does not."""
    partition = Partition(cluster, 0, disks)
    batches = [await partition.produce(), await partition.produce()]
    await partition.work(partition.handler(disks[0], Faults()), batches, Faults())
    disks[0].partition(0).clear()
    lost = f"{cluster.name}.lost"
    await asyncio.to_thread(cluster.kafka.create_topic, lost, PARTITIONS, cleanup_policy="compact")
    cluster.changelog = lost
    await wait_until_async(partition.committed_all, PATIENCE_S, "the committed offset")
    await partition.work(partition.handler(disks[0], Faults()), batches, Faults())
    await partition.judge(disks[0].partition(0))
    written = await asyncio.to_thread(cluster.kafka.consume, cluster.output("access-log"))
    assert len(written) == sum(topic == cluster.output("access-log") for topic, _ in partition.expected)
