"""Questions to Kafka, as views and commands ask them: offsets, lag, group members, newest records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaConnectionError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from app.errors import BrokersUnavailable, GroupRunning, TopicMissing

T = TypeVar("T")

NO_OFFSET = -1  # what a broker says for "nothing committed"
DEAD = "Dead"  # a group that there is not, or not any more
IDLE_STATES = ("Empty", DEAD)  # group states that have no member


@dataclass(frozen=True, slots=True)
class Member:
    """One consumer of a group, with the partitions it has by topic."""

    client: str
    host: str
    partitions: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group as its coordinator sees it: `state` is Kafka's word (Stable, Empty, Dead, ...)."""

    name: str
    state: str
    members: list[Member] = field(default_factory=list)

    @property
    def running(self) -> bool:
        """Whether somebody is, or is about to be, a member."""
        return self.state not in IDLE_STATES or bool(self.members)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a group is in one partition; `committed` is None where it has never committed. Offsets are next-to-read."""

    committed: int | None
    begin: int
    end: int
    metadata: str = ""

    @property
    def lag(self) -> int:
        """Records still to be read; everything that the log holds where nothing is committed."""
        start = self.begin if self.committed is None else max(self.committed, self.begin)
        return max(0, self.end - start)


class Brokers:
    """Answers questions about topics and groups, each within `timeout_s`, from Kafka itself and never from memory.

    Joins no group, creates no topic. One admin client and one consumer without a group, started at the first question
    and started anew after a question failed. Safe for concurrent use on one event loop.

    Every method raises BrokersUnavailable when there is no answer in time; questions change nothing. `connection` is
    handed to aiokafka (TLS, SASL).
    """

    def __init__(
        self, servers: Sequence[str], *, timeout_s: float = 5.0, connection: Mapping[str, Any] | None = None
    ) -> None:
        self.servers = list(servers)
        self.timeout_s = timeout_s
        self._connection = dict(connection or {})
        self._admin: Any = None
        self._consumer: Any = None
        self._starting = asyncio.Lock()

    # -- topics

    async def topics(self) -> dict[str, list[int]]:
        """Every topic with its partitions, in order."""
        return await self._ask("topics", self._topics)

    async def beginnings(self, topic: str) -> dict[int, int]:
        """The first offset that each partition still has. Raises TopicMissing."""
        partitions = await self._partitions(topic)
        return await self._ask("log starts", lambda: self._offsets("beginning_offsets", partitions))

    async def ends(self, topic: str) -> dict[int, int]:
        """The offset that each partition gives next (transactions' markers count). Raises TopicMissing."""
        partitions = await self._partitions(topic)
        return await self._ask("log ends", lambda: self._offsets("end_offsets", partitions))

    async def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        """Per partition the first offset whose record arrived at or after `at_ms`; the end where there is none."""
        partitions = await self._partitions(topic)

        async def find() -> dict[int, int]:
            found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, at_ms))
            missing = [tp for tp in partitions if found.get(tp) is None or found[tp].offset < 0]
            ends = await self._consumer.end_offsets(missing) if missing else {}
            return {tp.partition: ends[tp] if tp in ends else found[tp].offset for tp in partitions}

        return await self._ask("offsets by time", find)

    # -- groups

    async def committed(self, group: str, topic: str) -> dict[int, OffsetAndMetadata]:
        """What the group has committed, with its metadata; partitions without a commit are left out."""
        found = await self._ask(f"offsets of group {group}", lambda: self._committed(group))
        return {tp.partition: at for tp, at in found.items() if tp.topic == topic}

    async def positions(self, group: str, topic: str) -> dict[int, Position]:
        """Committed, first and next offset of every partition of the topic. Raises TopicMissing.

        Read in that order, so that `end` is never behind a commit that was seen.
        """
        committed = await self.committed(group, topic)
        begins, ends = await all_of(self.beginnings(topic), self.ends(topic))
        return {
            partition: Position(
                committed=committed[partition].offset if partition in committed else None,
                begin=begins[partition],
                end=end,
                metadata=committed[partition].metadata if partition in committed else "",
            )
            for partition, end in sorted(ends.items())
        }

    async def group(self, name: str) -> Group:
        """The group's state and members; state Dead where Kafka knows no such group."""
        return await self._ask(f"group {name}", lambda: self._group(name))

    async def set_offsets(self, group: str, topic: str, offsets: Mapping[int, int], metadata: str) -> None:
        """Commit offsets for a group that has no members.

        Raises GroupRunning when it has (also when one joins in between: Kafka itself refuses then), with nothing
        changed. After BrokersUnavailable the offsets may or may not have been set: look, or do it again.
        """
        if (await self.group(group)).running:
            raise GroupRunning(f"group {group} is running: stop its workers first")
        wanted = {TopicPartition(topic, p): OffsetAndMetadata(offset, metadata) for p, offset in offsets.items()}
        try:
            await self._within(f"setting offsets of group {group}", lambda: self._commit(group, wanted))
        except (CommitFailedError, UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError) as exc:
            raise GroupRunning(f"group {group} got a member meanwhile: stop its workers first") from exc
        except KafkaError as exc:
            raise self.unavailable(f"setting offsets of group {group}", exc) from exc

    async def close(self) -> None:
        """Close the connections, in at most a second; a later question opens new ones."""
        admin, consumer = self._admin, self._consumer
        self._admin = self._consumer = None
        if admin is not None:
            await stopped(admin.close())
        if consumer is not None:
            await stopped(consumer.stop())

    # -- how the questions are put

    def consumer(self, **options: Any) -> Any:
        """A new AIOKafkaConsumer for the same brokers, not started, the caller's to stop."""
        settings = {"request_timeout_ms": self._timeout_ms, "enable_auto_commit": False, **self._connection, **options}
        return AIOKafkaConsumer(bootstrap_servers=self.servers, **settings)

    def unavailable(self, doing: str, exc: BaseException) -> BrokersUnavailable:
        """The one line that says which brokers did not answer what."""
        if isinstance(exc, KafkaConnectionError):
            detail = "no connection"
        elif isinstance(exc, asyncio.TimeoutError):
            detail = f"no answer in {self.timeout_s:g} s"
        else:
            detail = " ".join(str(exc).split()) or type(exc).__name__
        return BrokersUnavailable(f"Kafka at {';'.join(self.servers)} is not available ({doing}): {detail}")

    @property
    def _timeout_ms(self) -> int:
        return max(1, int(self.timeout_s * 1000))

    async def _ask(self, doing: str, question: Callable[[], Awaitable[T]]) -> T:
        worked_before = self._consumer is not None
        try:
            return await self._within(doing, question)
        except KafkaError as exc:
            await self.close()
            if not worked_before:
                raise self.unavailable(doing, exc) from exc
        # Connections that worked once and don't now: the broker may have been restarted, so new ones may work.
        try:
            return await self._within(doing, question)
        except KafkaError as exc:
            await self.close()
            raise self.unavailable(doing, exc) from exc

    async def _within(self, doing: str, question: Callable[[], Awaitable[T]]) -> T:
        async def ask() -> T:
            await self._start()
            return await question()

        try:
            return await asyncio.wait_for(ask(), self.timeout_s)
        except (asyncio.TimeoutError, OSError) as exc:
            await self.close()
            raise self.unavailable(doing, exc) from exc

    async def _start(self) -> None:
        async with self._starting:
            if self._consumer is not None:
                return
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self.servers, request_timeout_ms=self._timeout_ms, **self._connection
            )
            consumer = self.consumer()
            try:
                await admin.start()
                await consumer.start()
            except BaseException:
                await stopped(admin.close())
                await stopped(consumer.stop())
                raise
            self._admin, self._consumer = admin, consumer

    async def _topics(self) -> dict[str, list[int]]:
        # Asked for all topics: asking for one by name would create it on brokers that create topics by themselves.
        found = await self._admin.describe_topics()
        return {topic["topic"]: sorted(p["partition"] for p in topic["partitions"]) for topic in found}

    async def _partitions(self, topic: str) -> list[TopicPartition]:
        partitions = (await self.topics()).get(topic)
        if not partitions:
            raise TopicMissing(f"topic {topic} does not exist at {';'.join(self.servers)}")
        return [TopicPartition(topic, p) for p in partitions]

    async def _offsets(self, method: str, partitions: Iterable[TopicPartition]) -> dict[int, int]:
        offsets = await getattr(self._consumer, method)(list(partitions))
        return {tp.partition: offset for tp, offset in offsets.items()}

    async def _committed(self, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
        async def fetch() -> Any:
            # Not the admin client's own question about offsets: it overlooks an error of the whole group, and a
            # coordinator that is still loading would look like a group that has never committed.
            node = await self._admin.find_coordinator(group)
            answer = await self._admin._send_request(OffsetFetchRequest(group, None), node)
            _raise_for(getattr(answer, "error_code", 0), f"offsets of group {group}")
            return answer

        found = {}
        for topic, partitions in (await self._retried(fetch)).topics:
            for partition, offset, metadata, code in partitions:
                _raise_for(code, f"offset of group {group} in {topic}[{partition}]")
                if offset != NO_OFFSET:
                    found[TopicPartition(topic, partition)] = OffsetAndMetadata(offset, metadata or "")
        return found

    async def _group(self, name: str) -> Group:
        async def describe() -> Group:
            (response,) = await self._admin.describe_consumer_groups([name])
            code, told, state, _, _, members = response.groups[0][:6]
            if told != name:
                # The embedded broker's answer about a group that it does not know has its fields shifted.
                return Group(name, DEAD)
            _raise_for(code, f"group {name}")
            return Group(name, state, [_member(*member) for member in members])

        return await self._retried(describe)

    async def _commit(self, group: str, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        # aiokafka's admin client can't alter a group's offsets; a member-less commit is the same request to Kafka.
        consumer = self.consumer(group_id=group)
        try:
            await consumer.start()
            consumer.assign(list(offsets))
            await consumer.commit(offsets)
        finally:
            await stopped(consumer.stop())

    async def _retried(self, question: Callable[[], Awaitable[T]]) -> T:
        """Ask again while a coordinator is being found or loaded; `timeout_s` around it ends this."""
        while True:
            try:
                return await question()
            except KafkaError as exc:
                if not exc.retriable:
                    raise
                await asyncio.sleep(0.1)


async def all_of(*questions: Awaitable[T]) -> list[T]:
    """The answers of questions asked at the same time; the first failure, once none is under way any more."""
    answers = await asyncio.gather(*questions, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]


async def stopped(stopping: Awaitable[None], within_s: float = 0.5) -> None:
    """Wait for a client's stop, which must neither take long nor fail what is being done."""
    with suppress(KafkaError, asyncio.TimeoutError, OSError):
        await asyncio.wait_for(stopping, within_s)


def _raise_for(code: int, about: str) -> None:
    if code:
        raise for_code(code)(about)


def _member(_id: str, client: str, host: str, _metadata: bytes, assignment: bytes, *_: Any) -> Member:
    partitions: dict[str, list[int]] = {}
    if assignment:
        for topic, numbers in ConsumerProtocolMemberAssignment.decode(assignment).assignment:
            partitions[topic] = sorted(numbers)
    return Member(client, host.lstrip("/"), partitions)
