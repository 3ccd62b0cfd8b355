"""A handle on a real Kafka for tests: topics, records in, records out, offsets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    KafkaTimeoutError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from deploy.cluster.kafka import Kafka
from streaming.stop_deadline import waiting
from tests.support.polling import PATIENCE_S, wait_until

T = TypeVar("T")

DEADLINE_S = 180.0
_CANCELLED_WITHIN_S = 30.0
_AGAIN_FOR_S = 40.0  # a cluster that is busy electing answers so; one that is away is told of after this
_PAUSE_S = 0.3
# What a cluster answers that is still coming up, beside the errors that say of themselves that they pass: too few
# brokers have joined, or the controller was too slow.
_PASSING = (InvalidReplicationFactorError, RequestTimedOutError, KafkaTimeoutError, asyncio.TimeoutError, OSError)


class LiveKafka:
    """Blocking calls, usable from plain tests and from coroutines alike (they hold up the event loop of the latter).

    Every call brings its own client and leaves nothing behind, so that none is confused by a broker that was killed
    in between. `service` starts, stops and kills the brokers. A question is asked again while the cluster says that it
    is busy electing; `produce` is never repeated. Every call takes at most `DEADLINE_S`.
    """

    def __init__(self, service: Kafka) -> None:
        self.service = service

    @property
    def bootstrap(self) -> str:
        """`host:port`, for clients."""
        return self.service.bootstrap

    @property
    def url(self) -> str:
        """`kafka://host:port`, for SLUICE_BROKER."""
        return self.service.url

    def create_topic(self, name: str, partitions: int = 1, replication: int = 1, **config: str) -> None:
        """Returns when every partition has a leader. Config names with `_` for `.`: `cleanup_policy="compact"`."""
        settings = {key.replace("_", "."): value for key, value in config.items()}
        topic = NewTopic(name, partitions, replication, topic_configs=settings)
        asked = 0

        async def create(admin: AIOKafkaAdminClient) -> None:
            nonlocal asked
            asked += 1
            for failed_topic, code, *message in (await admin.create_topics([topic])).topic_errors:
                error = for_code(code)
                if code and not (asked > 1 and error is TopicAlreadyExistsError):  # the first answer got lost
                    raise error(f"{failed_topic}: {message}")

        self._with_admin(create)
        wait_until(
            lambda: self.partitions(name) == list(range(partitions)),
            PATIENCE_S,
            f"the partitions of {name}",
            retry_on=KafkaError,
        )
        wait_until(lambda: self.end_offsets(name), PATIENCE_S, f"leaders of {name}", retry_on=KafkaError)

    def delete_topics(self, *names: str) -> None:
        """Returns when they are gone; names that do not exist are fine."""

        async def delete(admin: AIOKafkaAdminClient) -> None:
            for name, code, *_ in (await admin.delete_topics(list(names))).topic_error_codes:
                if code and code != UnknownTopicOrPartitionError.errno:
                    raise for_code(code)(name)

        self._with_admin(delete)
        wait_until(lambda: not set(names) & set(self.topics()), PATIENCE_S, f"the end of {names}", retry_on=KafkaError)

    def alter_topic(self, name: str, config: Mapping[str, str]) -> None:
        """Give a topic this configuration and no other; names as Kafka has them."""

        async def alter(admin: AIOKafkaAdminClient) -> None:
            resource = ConfigResource(ConfigResourceType.TOPIC, name, dict(config))
            for answer in await admin.alter_configs([resource]):
                for code, *message in answer.resources:
                    if code:
                        raise for_code(code)(f"{name}: {message}")

        self._with_admin(alter)

    def topics(self) -> list[str]:
        """Names of all topics but Kafka's own."""

        async def ask(admin: AIOKafkaAdminClient) -> list[str]:
            return sorted(name for name in await admin.list_topics() if not name.startswith("__"))

        return self._with_admin(ask)

    def partitions(self, topic: str) -> list[int]:
        """Partition numbers; empty where the topic does not exist."""

        async def ask(admin: AIOKafkaAdminClient) -> list[int]:
            (described,) = await admin.describe_topics([topic])
            return sorted(partition["partition"] for partition in described["partitions"])

        return self._with_admin(ask)

    def produce(
        self,
        topic: str,
        values: Iterable[bytes | None],
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        timestamp_ms: int | None = None,
    ) -> None:
        """Every value a record, in order; returns when the brokers (`acks=all`) have them all."""

        async def send() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.bootstrap,
                enable_idempotence=True,
                linger_ms=5,
                request_timeout_ms=int(DEADLINE_S * 1000),  # a batch waits so long for a leader
            )
            try:
                await producer.start()
                sent = [
                    await producer.send(topic, value, key, partition, timestamp_ms, list(headers)) for value in values
                ]
                await asyncio.gather(*sent)
            finally:
                await producer.stop()

        self._run(send())

    def consume(self, topic: str, *, isolation: str = "read_committed") -> list[ConsumerRecord]:
        """All that the topic holds now, by partition and offset."""

        async def read(consumer: AIOKafkaConsumer) -> list[ConsumerRecord]:
            ends = await consumer.end_offsets(consumer.assignment())
            records: list[ConsumerRecord] = []
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records.extend(record for record in batch if record.offset < ends[_partition_of(record)])
            return sorted(records, key=lambda record: (record.partition, record.offset))

        return self._with_consumer(topic, isolation, read)

    def end_offsets(self, topic: str, *, isolation: str = "read_uncommitted") -> dict[int, int]:
        """The next offset of each partition; with `read_committed`, the first of the oldest open transaction."""

        async def ask(consumer: AIOKafkaConsumer) -> dict[int, int]:
            ends = await consumer.end_offsets(consumer.assignment())
            return {tp.partition: offset for tp, offset in sorted(ends.items())}

        return self._with_consumer(topic, isolation, ask)

    def group_offsets(self, group: str, topic: str) -> dict[int, int]:
        """What a consumer group has committed; partitions without a commit are absent.

        So are all for a moment after a broker's start, while it still loads them: ask with `wait_until` then.
        """

        async def ask(admin: AIOKafkaAdminClient) -> dict[int, int]:
            committed = await admin.list_consumer_group_offsets(group)
            return {
                tp.partition: int(told.offset)
                for tp, told in committed.items()
                if tp.topic == topic and told.offset >= 0
            }

        return self._with_admin(ask)

    def lag(self, group: str, topic: str) -> int:
        """Records that a group has not committed yet, over all partitions; from offset 0 where it has no commit."""
        committed = self.group_offsets(group, topic)
        return sum(end - committed.get(partition, 0) for partition, end in self.end_offsets(topic).items())

    def _with_consumer(self, topic: str, isolation: str, use: Callable[[AIOKafkaConsumer], Awaitable[T]]) -> T:
        """A consumer without a group, which has every partition of the topic, from the beginning.

        It is given the partitions: one that subscribes to a topic which the brokers are still telling each other of
        changes its assignment, and aiokafka cannot be stopped at that moment (streaming/stopping.py).
        """

        async def call() -> T:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.bootstrap, isolation_level=isolation, auto_offset_reset="earliest"
            )
            try:
                await consumer.start()
                consumer.assign(partitions)
                return await use(consumer)
            finally:
                await consumer.stop()

        partitions = [TopicPartition(topic, partition) for partition in self.partitions(topic)]
        if not partitions:
            raise UnknownTopicOrPartitionError(topic)
        return self._again(call)

    def _with_admin(self, use: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
        async def call() -> T:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
            try:
                await admin.start()
                return await use(admin)
            finally:
                await admin.close()

        return self._again(call)

    def _again(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Call, and again for a while after what passes by itself."""
        give_up_at = time.monotonic() + _AGAIN_FOR_S
        while True:
            try:
                return self._run(call())
            except (KafkaError, *_PASSING) as error:
                passes = isinstance(error, _PASSING) or getattr(error, "retriable", False)
                if not passes or time.monotonic() > give_up_at:
                    raise
            time.sleep(_PAUSE_S)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(asyncio.run(asyncio.wait_for(coroutine, DEADLINE_S)))
            except BaseException as error:
                answer.set_exception(error)

        # Its own thread: a coroutine of a test cannot run another event loop in its thread. A client that does not even
        # let itself be cancelled is left behind, and the test run is not held up.
        thread = threading.Thread(target=run, name="live-kafka", daemon=True)
        thread.start()
        thread.join(DEADLINE_S + _CANCELLED_WITHIN_S)
        assert not thread.is_alive(), "a Kafka client neither answered nor gave up:\n" + "\n".join(waiting())
        return answer.result()


def _partition_of(record: ConsumerRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)
