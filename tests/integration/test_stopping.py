"""A consumer whose assignment changes at that moment can be stopped, whichever comes first."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streaming.pacing import pace
from streaming.stopping import AGAIN_S, close_for_sure
from tests.support.kafka import LiveKafka

pytestmark = pytest.mark.kafka

# Turns of the event loop between the change and the stop: the cancellation is lost after one and after two.
TURNS = range(6)
HANGS_S = 10.0


@pytest.fixture(scope="module")
def topic(kafka: LiveKafka) -> str:
    name = f"stopping-{uuid.uuid4().hex[:8]}"
    kafka.create_topic(name, partitions=2)
    return name


@contextlib.asynccontextmanager
async def fetching(kafka: LiveKafka, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of one partition, whose fetch waits at the broker."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap)
    await consumer.start()
    try:
        pace(consumer)
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_end()
        await consumer.getmany(timeout_ms=100)
        yield consumer
    finally:
        consumer._fetcher._fetch_task.cancel()
        await consumer.stop()


async def closes(consumer: AIOKafkaConsumer, topic: str, turns: int, within_s: float) -> bool:
    """Whether the fetcher can be closed `turns` after the consumer has lost the partition that it fetches."""
    consumer.assign([TopicPartition(topic, 1)])
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.create_task(consumer._fetcher.close())
    done, _ = await asyncio.wait([closing], timeout=within_s)
    if not done:
        consumer._fetcher._fetch_task.cancel()
    await closing
    return bool(done)


@pytest.mark.parametrize("turns", TURNS)
async def test_a_consumer_stops_while_it_loses_a_partition(kafka: LiveKafka, topic: str, turns: int) -> None:
    async with fetching(kafka, topic) as consumer:
        close_for_sure(consumer)
        assert await closes(consumer, topic, turns, HANGS_S)


async def test_aiokafka_by_itself_would_hang(kafka: LiveKafka, topic: str) -> None:
    """The assumption of `close_for_sure`: when it fails, streaming/stopping.py can go."""
    ended = []
    for turns in TURNS:
        async with fetching(kafka, topic) as consumer:
            ended.append(await closes(consumer, topic, turns, 5 * AGAIN_S))
    assert not all(ended)
