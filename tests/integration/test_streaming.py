"""The batch layer on a real broker: batches, prefixes, rebalances, exactly once by lane."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from streaming.app import BatchApp
from streaming.batches import Batch, BatchTopic
from streaming.changelog import Follower
from streaming.errors import OffsetsGone
from streaming.exactly_once import ExactlyOnceHandler, Marker
from streaming.lanes import Lanes
from streaming.store import Reader, Store
from streaming.topics import TopicSpec, ensure_topics
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until_async

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


async def until(condition: Callable[[], bool], what: str, deadline_s: float = 30.0) -> None:
    async def ask() -> bool:
        return condition()

    await wait_until_async(ask, deadline_s, what)


async def blocking(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """A call of the Kafka fixture, without holding up the application under test."""
    return await asyncio.to_thread(call, *args, **kwargs)


@pytest.fixture
def name() -> str:
    return f"t{uuid.uuid4().hex[:8]}"


@contextlib.asynccontextmanager
async def running(app: BatchApp) -> AsyncIterator[BatchApp]:
    app.finalize()
    await app.start()
    try:
        yield app
    finally:
        await app.stop()


class Recorder:
    """A handler that writes down what it was given; durable up to what `durable` says."""

    tick_s = 0.05
    linger_s = 0.0

    def __init__(self, tp: TP, seen: dict[TP, list[int]], start: Callable[[TP], int]) -> None:
        self.tp = tp
        self.seen = seen.setdefault(tp, [])
        self.start = start
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self) -> int:
        return self.start(self.tp)

    async def handle(self, batches: Sequence[Batch]) -> int | None:
        await self.gate.wait()
        self.seen += [record.offset for batch in batches for record in batch.records]
        return batches[-1].next_offset

    async def tick(self) -> int | None:
        return None

    async def close(self) -> int | None:
        return None

    async def abandon(self) -> None:
        pass


def recording_app(kafka: LiveKafka, group: str, topic: str, path: Path) -> tuple[BatchApp, Lanes, dict[TP, list[int]]]:
    seen: dict[TP, list[int]] = {}
    app = BatchApp(group, broker=[kafka.bootstrap], max_poll_records=100)
    lanes = app.lane_agent("record", topic, lambda tp: Recorder(tp, seen, lambda _: 0), close_within_s=5)
    return app, lanes, seen


async def test_every_record_once_in_order_and_the_prefix_is_committed(
    kafka: LiveKafka, name: str, tmp_path: Path
) -> None:
    await blocking(kafka.create_topic, name, 2)
    await blocking(kafka.produce, name, [b"%d" % n for n in range(700)], partition=0)
    await blocking(kafka.produce, name, [b"%d" % n for n in range(300)], partition=1)
    app, _, seen = recording_app(kafka, name, name, tmp_path)
    async with running(app):
        await until(lambda: sum(map(len, seen.values())) == 1000, "all records to be handled")
    assert seen == {TP(name, 0): list(range(700)), TP(name, 1): list(range(300))}
    assert await blocking(kafka.group_offsets, name, name) == {0: 700, 1: 300}


async def test_topics_not_declared_batched_are_delivered_by_the_record(
    kafka: LiveKafka, name: str, tmp_path: Path
) -> None:
    await blocking(kafka.create_topic, name, 1)
    await blocking(kafka.create_topic, f"{name}-plain", 1)
    await blocking(kafka.produce, name, [b"x"] * 50)
    await blocking(kafka.produce, f"{name}-plain", [b"a", b"b", b"c"])
    app = BatchApp(name, broker=[kafka.bootstrap], max_poll_records=100)
    batches: list[Any] = []
    values: list[Any] = []

    @app.agent(app.batch_topic(BatchTopic(name)), name="batched")
    async def batched(stream: Any) -> None:
        async for event in stream.noack().events():
            batches.append(event.value)
            event.ack()

    @app.agent(app.topic(f"{name}-plain", value_serializer="raw"), name="plain")
    async def plain(stream: Any) -> None:
        async for value in stream:
            values.append(value)

    async with running(app):
        await until(lambda: len(values) == 3 and sum(len(b.records) for b in batches) == 50, "both topics")

        async def committed() -> bool:
            both = [await blocking(kafka.group_offsets, name, topic) for topic in (name, f"{name}-plain")]
            return both == [{0: 50}, {0: 3}]

        await wait_until_async(committed, 15, "both offsets to be committed")
    assert values == [b"a", b"b", b"c"]
    assert all(isinstance(batch, Batch) for batch in batches)


async def test_an_unacknowledged_batch_holds_the_committed_offset_back(
    kafka: LiveKafka, name: str, tmp_path: Path
) -> None:
    await blocking(kafka.create_topic, name, 1)
    app = BatchApp(name, broker=[kafka.bootstrap], max_poll_records=10)
    events: list[Any] = []

    @app.agent(app.batch_topic(BatchTopic(name)), name="slow")
    async def slow(stream: Any) -> None:
        async for event in stream.noack().events():
            app.consumer.taken(event.value)
            events.append(event)

    async with running(app):
        await until(lambda: app.assigned, "an assignment")
        await blocking(kafka.produce, name, [b"x"] * 30)
        await until(lambda: sum(len(e.value.records) for e in events) == 30, "all batches")
        for event in events[1:]:
            event.ack()
        await app.consumer.commit()
        assert await blocking(kafka.group_offsets, name, name) == {}
        events[0].ack()

        async def committed() -> bool:
            await app.consumer.commit()  # does nothing where the application's own commit is under way
            return bool(await blocking(kafka.group_offsets, name, name) == {0: 30})

        await wait_until_async(committed, 15, "the offset to be committed")


async def test_a_stuck_partition_holds_no_other_back(kafka: LiveKafka, name: str, tmp_path: Path) -> None:
    await blocking(kafka.create_topic, name, 2)
    app, lanes, seen = recording_app(kafka, name, name, tmp_path)
    async with running(app):
        await until(lambda: len(lanes.lanes) == 2 and not lanes.problems(), "both lanes")
        stuck: Any = lanes.lanes[TP(name, 0)]._handler
        stuck.gate.clear()
        await blocking(kafka.produce, name, [b"x"] * 50, partition=0)
        await blocking(kafka.produce, name, [b"x"] * 2000, partition=1)
        await until(lambda: len(seen[TP(name, 1)]) == 2000, "the other partition")
        assert seen[TP(name, 0)] == []
        stuck.gate.set()
        await until(lambda: len(seen[TP(name, 0)]) == 50, "the stuck partition")


async def test_partitions_move_between_members_and_nothing_is_lost(kafka: LiveKafka, name: str, tmp_path: Path) -> None:
    await blocking(kafka.create_topic, name, 4)
    offsets: Counter[TP] = Counter()  # where each partition is durable, shared as a committed store would be

    class Sharing(Recorder):
        async def handle(self, batches: Sequence[Batch]) -> int | None:
            durable = await super().handle(batches)
            assert batches[0].first_offset == offsets[self.tp], "a batch came twice, or one was skipped"
            offsets[self.tp] = durable or 0
            return durable

    def member(number: int) -> tuple[BatchApp, Lanes]:
        app = BatchApp(name, broker=[kafka.bootstrap], max_poll_records=50)
        lanes = app.lane_agent("share", name, lambda tp: Sharing(tp, {}, lambda tp: offsets[tp]), close_within_s=5)
        return app, lanes

    (first, first_lanes), (second, second_lanes) = member(1), member(2)
    async with running(first):
        for partition in range(4):
            await blocking(kafka.produce, name, [b"x"] * 200, partition=partition)
        async with running(second):
            await until(lambda: len(second_lanes.owned()) == 2 == len(first_lanes.owned()), "two partitions each")
            for partition in range(4):
                await blocking(kafka.produce, name, [b"x"] * 200, partition=partition)
            await until(lambda: sum(offsets.values()) == 1600, "all records")
        await until(lambda: len(first_lanes.owned()) == 4, "the other's partitions")
        for partition in range(4):
            await blocking(kafka.produce, name, [b"x"] * 100, partition=partition)
        await until(lambda: sum(offsets.values()) == 2000, "the rest")
    assert await blocking(kafka.group_offsets, name, name) == dict.fromkeys(range(4), 500)


class Forward(NamedTuple):
    topic: str
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: list[tuple[str, bytes]]


class Outcome(NamedTuple):
    forwards: list[Forward]
    changes: dict[bytes, bytes | None]


class Rewind(NamedTuple):
    start_offset: int
    changes: dict[bytes, bytes | None]


class Counting:
    """Counts records, and forwards each; what it is asked to count again it counts from nothing."""

    def __init__(self, out: str, reader: Reader) -> None:
        self.out = out
        self.reader = reader

    def process(self, records: Sequence[Any], forward_from: int) -> Outcome:
        count = int(self.reader.get(b"count") or 0) + len(records)
        forwards = [
            Forward(self.out, None, record.value, record.timestamp, [("raw", b"%d" % record.offset)])
            for record in records
            if record.offset >= forward_from
        ]
        return Outcome(forwards, {b"count": b"%d" % count})

    def discard(self) -> None:
        pass

    def rewind(self, offset: int, log_start: int) -> Rewind:
        return Rewind(log_start, {b"count": None})


class CountingGroup:
    """An application that counts exactly once, with its own state directory."""

    def __init__(self, kafka: LiveKafka, name: str, path: Path) -> None:
        self.store = Store(path / "tables")
        self.follower = Follower([kafka.bootstrap], f"{name}-changelog", 1, self.store)
        self.committed = 0
        self.app = BatchApp(name, broker=[kafka.bootstrap], max_poll_records=100)
        self.handlers: list[ExactlyOnceHandler[Any]] = []
        self._kafka, self._name = kafka, name
        self.lanes = self.app.lane_agent("count", name, self._handler, close_within_s=5)

    def _handler(self, tp: TP) -> ExactlyOnceHandler[Any]:
        handler: ExactlyOnceHandler[Any] = ExactlyOnceHandler(
            tp,
            group=self._name,
            changelog=f"{self._name}-changelog",
            bootstrap_servers=[self._kafka.bootstrap],
            follower=self.follower,
            processor_factory=lambda _, reader: Counting(f"{self._name}-out", reader),
            committed=self.app.committed,
            on_committed=self._count,
        )
        self.handlers.append(handler)
        return handler

    def _count(self, _outcome: Any, records: Sequence[Any]) -> None:
        self.committed += len(records)

    @property
    def count(self) -> int:
        return int(self.store.partition(0).get(b"count") or 0)

    async def __aenter__(self) -> CountingGroup:
        self.app.finalize()
        await self.follower.start()
        await self.app.start()
        return self

    async def _told(self) -> bool:
        committed = await blocking(self._kafka.group_offsets, self._name, self._name)
        marker = Marker.of(self.store.partition(0))
        return marker is not None and bool(committed == {0: marker.applied})

    async def __aexit__(self, failed: type[BaseException] | None, *_: object) -> None:
        try:
            if failed is None:
                # A broker answers a commit before the topics have its markers: until then nobody sees what was written.
                await wait_until_async(self._told, 30, "the last transaction to be visible")
        finally:
            await self.app.stop()
            await self.follower.stop()
            self.store.close()


async def make_topics(kafka: LiveKafka, name: str) -> None:
    await ensure_topics(
        [kafka.bootstrap],
        [
            TopicSpec(name, 1, 1),
            TopicSpec(f"{name}-out", 1, 1, like=name),
            TopicSpec(f"{name}-changelog", 1, 1, like=name, config={"cleanup.policy": "compact"}),
        ],
    )


@pytest.fixture
def paths(tmp_path: Path) -> Iterator[Path]:
    return iter(tmp_path / str(n) for n in range(10))


async def test_exactly_once_across_restarts_lost_state_and_lost_answers(
    kafka: LiveKafka, name: str, paths: Iterator[Path]
) -> None:
    await make_topics(kafka, name)
    await blocking(kafka.produce, name, [b"%d" % n for n in range(500)])
    first = next(paths)
    async with CountingGroup(kafka, name, first) as group:
        await until(lambda: group.count == 500, "the first 500")
        # A transaction whose answer is lost: committed, but the lane sees an error.
        writer = group.handlers[0]._writer
        commit = writer.commit

        async def answer_lost(*args: Any, **kwargs: Any) -> Any:
            await commit(*args, **kwargs)
            writer.commit = commit  # type: ignore[method-assign]
            raise ConnectionError("the answer was lost")

        writer.commit = answer_lost  # type: ignore[method-assign]
        await blocking(kafka.produce, name, [b"%d" % n for n in range(500, 700)])
        await until(lambda: group.count == 700, "the count after the lost answer")
    async with CountingGroup(kafka, name, first) as group:  # restarted, with its state
        await blocking(kafka.produce, name, [b"%d" % n for n in range(700, 800)])
        await until(lambda: group.count == 800, "the count after a restart")
    async with CountingGroup(kafka, name, next(paths)) as group:  # its state directory is gone
        await blocking(kafka.produce, name, [b"%d" % n for n in range(800, 1000)])
        await until(lambda: group.count == 1000, "the count with state from the changelog")
        assert Marker.of(group.store.partition(0)) == Marker(1000, 1000)
    out = await blocking(kafka.consume, f"{name}-out")
    assert [record.value for record in out] == [b"%d" % n for n in range(1000)]
    assert await blocking(kafka.group_offsets, name, name) == {0: 1000}


async def test_a_fenced_writer_commits_nothing(kafka: LiveKafka, name: str, paths: Iterator[Path]) -> None:
    await make_topics(kafka, name)
    async with CountingGroup(kafka, name, next(paths)) as group:
        await blocking(kafka.produce, name, [b"x"] * 10)
        await until(lambda: group.count == 10, "the first ten")
        zombie = group.handlers[0]._writer
        usurper = type(zombie)([kafka.bootstrap], zombie.transactional_id)
        await usurper.open()
        await blocking(kafka.produce, name, [b"x"] * 10)
        # The lane is told that it is fenced, opens anew (it still has the partition) and counts on, each once.
        await until(lambda: group.count == 20, "the count after being fenced")
        await usurper.close()
    assert len(await blocking(kafka.consume, f"{name}-out")) == 20


async def test_reset_offsets_rebuild_the_state_and_forward_only_on_request(
    kafka: LiveKafka, name: str, paths: Iterator[Path]
) -> None:
    await make_topics(kafka, name)
    await blocking(kafka.produce, name, [b"x"] * 300)
    path = next(paths)
    async with CountingGroup(kafka, name, path) as group:
        await until(lambda: group.count == 300, "the first run")
    for metadata, forwarded in (("", 300), ("replay", 300), ("replay forward", 600)):
        await _reset(kafka, name, 0, metadata)
        async with CountingGroup(kafka, name, path) as group:
            await until(lambda: group.committed == 300, "the records to be counted again")
            assert group.count == 300
        assert len(await blocking(kafka.consume, f"{name}-out")) == forwarded


async def test_offsets_that_kafka_lost_stop_the_partition_until_the_operator_skips_them(
    kafka: LiveKafka, name: str, paths: Iterator[Path]
) -> None:
    await make_topics(kafka, name)
    await blocking(kafka.produce, name, [b"x"] * 100)
    path = next(paths)
    async with CountingGroup(kafka, name, path) as group:
        await until(lambda: group.count == 100, "the first run")
    await blocking(kafka.produce, name, [b"x"] * 50)
    await _delete_records(kafka, name, 120)
    async with CountingGroup(kafka, name, path) as group:
        await until(lambda: bool(group.lanes.lanes) and group.lanes.lanes[TP(name, 0)].state == "failed", "the stop")
        assert OffsetsGone.__name__ in group.lanes.problems()[0]
        assert "100" in group.lanes.problems()[0]
    await _reset(kafka, name, 120, "replay")
    async with CountingGroup(kafka, name, path) as group:
        await until(lambda: group.count == 130, "the count without the lost ones")


async def _reset(kafka: LiveKafka, name: str, offset: int, metadata: str) -> None:
    from aiokafka import AIOKafkaConsumer, TopicPartition
    from aiokafka.structs import OffsetAndMetadata

    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id=name, enable_auto_commit=False)
    await consumer.start()
    tp = TopicPartition(name, 0)
    consumer.assign([tp])
    await consumer.commit({tp: OffsetAndMetadata(offset, metadata)})
    await consumer.stop()


async def _delete_records(kafka: LiveKafka, name: str, before: int) -> None:
    from aiokafka import TopicPartition
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.records_to_delete import RecordsToDelete

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before)})
    await admin.close()
