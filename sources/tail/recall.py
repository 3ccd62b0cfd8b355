"""What of the files is in raw-log already: asked after a crash, or when an acknowledgement was lost.

Between Kafka's acknowledgement and the saving of a position lies a moment in which a process may be killed. Each record
says by a header which bytes of which content it is; so what stands in raw-log behind the last saved position is looked
up, and not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from sources.partitioner import HostPartitioner
from sources.tail.reader import ORIGIN

_TIMEOUT_S = 10.0
# A killed producer's last request may still be with the broker when its connection is gone already; one that waits for
# brokers tries again within tenths of a second once they answer.
SETTLES_S = 1.0


class Reached(NamedTuple):
    """Up to where raw-log has some content: the offset of what follows, and the pieces so far of a record cut there."""

    position: int
    number: int


class RecallFailed(Exception):
    """Kafka does not tell; retriable: ask again."""

    retriable = True
    reason = "recall_failed"


class Recall(Protocol):
    """Asks Kafka. Every method raises RecallFailed when there is no answer in time."""

    async def ends(self) -> dict[int, int]:
        """The offset that each partition of raw-log gives next: what is sent from now on stands there or behind."""

    async def newest(self, host: str, ids: Collection[str], since: Mapping[int, int]) -> dict[str, Reached]:
        """Up to where the contents `ids` are in raw-log, as far as they are behind the offsets `since`.

        What their senders had on its way when they ended has arrived by then, or never will.
        """

    async def close(self) -> None:
        """Close the connections; a later question opens new ones."""


class KafkaRecall:
    """Reads the partitions of a host behind some offsets. Safe for concurrent use on one event loop.

    Takes part in no group. Reading takes as long as it takes to read what all hosts of the partition have sent since.
    """

    def __init__(self, bootstrap_servers: Sequence[str], topic: str, *, settles_s: float = SETTLES_S) -> None:
        self._servers = list(bootstrap_servers)
        self._topic = topic
        self._settles_s = settles_s
        self._consumer: Any = None
        self._admin: Any = None
        self._asking = asyncio.Lock()

    async def ends(self) -> dict[int, int]:
        """As Recall has it."""
        async with self._asking:
            try:
                return await asyncio.wait_for(self._ends(), _TIMEOUT_S)
            except RecallFailed:
                raise
            except Exception as error:  # whatever a client says: files wait for the answer, so it is asked again
                await self._close()
                raise RecallFailed(f"the ends of {self._topic}: {str(error) or type(error).__name__}") from error

    async def newest(self, host: str, ids: Collection[str], since: Mapping[int, int]) -> dict[str, Reached]:
        """As Recall has it."""
        reached: dict[str, Reached] = {}
        ends = await self.ends()
        partitions = {HostPartitioner(count).locate(host)[1] for count in {len(since) or len(ends), len(ends)}}
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        try:
            await asyncio.wait_for(consumer.start(), _TIMEOUT_S)
            tps = [TopicPartition(self._topic, partition) for partition in partitions if partition in ends]
            consumer.assign(tps)
            begins = await asyncio.wait_for(consumer.beginning_offsets(tps), _TIMEOUT_S)
            for tp in tps:
                start = since.get(tp.partition, 0)
                # An end before it: the topic was made anew.
                consumer.seek(tp, max(begins[tp], start if start <= ends[tp.partition] else 0))
            looked_again = False
            while True:
                found = await self._read_to(consumer, {tp: ends[tp.partition] for tp in tps}, ids, reached)
                if looked_again and not found:
                    return reached
                looked_again = True
                await asyncio.sleep(self._settles_s)
                ends = await self.ends()
        except RecallFailed:
            raise
        except Exception as error:
            raise RecallFailed(f"reading {self._topic}: {str(error) or type(error).__name__}") from error
        finally:
            await _stop(consumer.stop())

    async def close(self) -> None:
        """As Recall has it."""
        async with self._asking:
            await self._close()

    async def _ends(self) -> dict[int, int]:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
            admin = AIOKafkaAdminClient(bootstrap_servers=self._servers)
            try:
                await consumer.start()
                await admin.start()
            except BaseException:
                await _stop(consumer.stop())
                await _stop(admin.close())
                raise
            self._consumer, self._admin = consumer, admin
        # Asked for all topics: asking for one by name would create it on brokers that create topics by themselves.
        topics = {topic["topic"]: topic["partitions"] for topic in await self._admin.describe_topics()}
        partitions = [TopicPartition(self._topic, each["partition"]) for each in topics.get(self._topic, ())]
        if not partitions:
            raise RecallFailed(f"topic {self._topic} does not exist yet")
        return {tp.partition: end for tp, end in (await self._consumer.end_offsets(partitions)).items()}

    async def _read_to(
        self,
        consumer: Any,
        ends: Mapping[TopicPartition, int],
        ids: Collection[str],
        reached: dict[str, Reached],
    ) -> bool:
        """Read up to the ends; whether anything was found."""
        found = False
        clock = asyncio.get_running_loop().time
        give_up_at_s = clock() + _TIMEOUT_S
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            fetched = await asyncio.wait_for(consumer.getmany(timeout_ms=500), _TIMEOUT_S)
            if fetched:
                give_up_at_s = clock() + _TIMEOUT_S
            elif clock() > give_up_at_s:
                raise RecallFailed(f"nothing of {self._topic} came for {_TIMEOUT_S:g} s")
            for records in fetched.values():
                for record in records:
                    for name, value in record.headers:
                        if name == ORIGIN and (told := _parse(value)) and told[0] in ids:
                            id, at = told
                            found = True
                            reached[id] = max(at, reached.get(id, at))
            await asyncio.sleep(0)
        return found

    async def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await _stop(consumer.stop())
            await _stop(self._admin.close())


def _parse(value: bytes | None) -> tuple[str, Reached] | None:
    """The header that a record of a file has; anybody may have sent anything under its name."""
    try:
        id, position, *number = (value or b"").decode("ascii").split("/")
        return id, Reached(int(position), int(number[0]) if number else 0)
    except ValueError:
        return None


async def _stop(end: Awaitable[None]) -> None:
    with contextlib.suppress(asyncio.TimeoutError, KafkaError, OSError, RuntimeError):
        await asyncio.wait_for(end, 2.0)
