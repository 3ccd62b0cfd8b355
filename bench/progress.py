"""How far a consumer group is, asked with one connection: asking must cost what is measured next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

ASK_EVERY_S = 0.25
WARM_SHARE = 0.2  # of the records; what comes before counts as start-up


@dataclass(frozen=True)
class Drained:
    """How a backlog was worked off."""

    seconds: float  # from the start of the program until the last record was committed
    warm_per_s: float  # records a second between the first sample past `WARM_SHARE` and the end


def drain(
    bootstrap: str, group: str, topic: str, total: int, *, alive: Callable[[], bool], deadline_s: float
) -> Drained:
    """Wait until the group has committed `total` records of the topic.

    Raises: RuntimeError when the program ends before, or the deadline passes.
    """

    async def wait() -> Drained:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            return await _wait(
                lambda: _committed(admin, group, topic), f"{group} has committed", total, alive, deadline_s
            )
        finally:
            await admin.close()

    return asyncio.run(wait())


def grow(bootstrap: str, topic: str, total: int, *, alive: Callable[[], bool], deadline_s: float) -> Drained:
    """The same by what a topic holds: for a program whose commits lag far behind its work."""

    async def wait() -> Drained:
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap)
        await consumer.start()
        try:
            return await _wait(lambda: _held(consumer), f"{topic} has", total, alive, deadline_s)
        finally:
            await consumer.stop()

    return asyncio.run(wait())


async def _wait(
    reached: Callable[[], Awaitable[int]], what: str, total: int, alive: Callable[[], bool], deadline_s: float
) -> Drained:
    began = time.monotonic()
    warm: tuple[float, int] | None = None
    while True:
        done = await reached()
        now = time.monotonic()
        if warm is None and done >= total * WARM_SHARE:
            warm = now, done
        if done >= total:
            assert warm is not None
            elapsed_s, records = now - warm[0], done - warm[1]
            return Drained(now - began, records / elapsed_s if records else total / (now - began))
        if not alive() or now - began > deadline_s:
            raise RuntimeError(f"{what} {done:,} of {total:,} after {now - began:.0f} s")
        await asyncio.sleep(ASK_EVERY_S)


async def _committed(admin: AIOKafkaAdminClient, group: str, topic: str) -> int:
    try:
        told = await admin.list_consumer_group_offsets(group)
    except KafkaError:
        return 0  # no coordinator yet
    return sum(int(each.offset) for tp, each in told.items() if tp.topic == topic and each.offset > 0)


async def _held(consumer: AIOKafkaConsumer) -> int:
    return sum((await consumer.end_offsets(consumer.assignment())).values())
