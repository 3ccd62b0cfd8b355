"""How far a program is, asked with one connection: asking must cost what is measured next to nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.measure import Program, Usage, usage

ASK_EVERY_S = 0.25
LAG_EVERY_S = 1.0
STALL_S = 120.0
WARM_SHARE = 0.2  # of the records; what comes before counts as start-up

Reached = Callable[[], Awaitable[int]]
"""How many records a program has done with by now."""


@dataclass(frozen=True)
class Done:
    """How records were worked off. Warm: from the first sample past `WARM_SHARE` of them to the last record."""

    seconds: float  # all of it, from the start of the program
    warm_per_s: float
    warm_cpu_us: float  # a record
    used: Usage  # start-up and all


async def follow(reached: Reached, total: int, programs: Sequence[Program], *, began: float) -> Done:
    """Wait until `total` is reached by programs that were started at `began` (monotonic).

    Raises: RuntimeError when a program ends before, or nothing is reached for `STALL_S`.
    """
    most, most_at = -1, began
    warm: tuple[float, int, float] | None = None
    while True:
        done = await reached()
        now, alive = time.monotonic(), all(program.running for program in programs)
        if done > most:
            most, most_at = done, now
        if not alive or now - most_at > STALL_S:
            raise RuntimeError(f"{done:,} of {total:,} after {now - began:.0f} s, {'alive' if alive else 'ended'}")
        used = usage(programs)
        if done >= total:
            at, records, cpu_s = warm or (began, 0, 0.0)
            return Done(now - began, (done - records) / (now - at), (used.cpu_s - cpu_s) / (done - records) * 1e6, used)
        if warm is None and done >= total * WARM_SHARE:
            warm = now, done, used.cpu_s
        await asyncio.sleep(ASK_EVERY_S)


def drain(bootstrap: str, group: str, topic: str, total: int, programs: Sequence[Program], *, began: float) -> Done:
    """Wait until a group has committed `total` records of a topic. Raises: RuntimeError as `follow`."""

    async def wait() -> Done:
        async with _admin(bootstrap) as admin:
            return await follow(lambda: _committed(admin, group, topic), total, programs, began=began)

    return asyncio.run(wait())


def grow(bootstrap: str, topic: str, total: int, programs: Sequence[Program], *, began: float) -> Done:
    """The same by what a topic holds: for a program whose commits lag far behind its work."""

    async def wait() -> Done:
        async with _consumer(bootstrap, topic) as consumer:
            return await follow(lambda: _held(consumer), total, programs, began=began)

    return asyncio.run(wait())


def lags(bootstrap: str, topic: str, groups: Sequence[str], going_on: Callable[[], bool]) -> dict[str, list[int]]:
    """The lag of each group every second, while something goes on."""

    async def ask() -> dict[str, list[int]]:
        samples: dict[str, list[int]] = {group: [] for group in groups}
        async with _admin(bootstrap) as admin, _consumer(bootstrap, topic) as consumer:
            while going_on():
                for group in groups:
                    committed = await _committed(admin, group, topic)
                    samples[group].append(await _held(consumer) - committed)
                await asyncio.sleep(LAG_EVERY_S)
        return samples

    return asyncio.run(ask())


def count(bootstrap: str, topic: str) -> int:
    """How many records a `read_committed` consumer finds in a topic now; the transactions' markers are none."""

    async def read() -> int:
        # Not `seek_to_beginning`: aiokafka's own reset, to the end, may be under way and win.
        options = {"isolation_level": "read_committed", "auto_offset_reset": "earliest"}
        async with _consumer(bootstrap, topic, **options) as consumer:
            ends, records = await consumer.end_offsets(consumer.assignment()), 0
            while any([await consumer.position(tp) < end for tp, end in ends.items()]):
                records += sum(map(len, (await consumer.getmany(timeout_ms=200)).values()))
            return records

    return asyncio.run(read())


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _consumer(bootstrap: str, topic: str, **options: object) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, **options)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


async def _committed(admin: AIOKafkaAdminClient, group: str, topic: str) -> int:
    try:
        told = await admin.list_consumer_group_offsets(group)
    except KafkaError:
        return 0  # no coordinator yet
    return sum(int(each.offset) for tp, each in told.items() if tp.topic == topic and each.offset > 0)


async def _held(consumer: AIOKafkaConsumer) -> int:
    return sum((await consumer.end_offsets(consumer.assignment())).values())
