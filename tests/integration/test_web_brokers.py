"""Questions to a real Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from app.brokers import Brokers, Position
from app.dead_letter import newest_dead_letters
from app.errors import BrokersUnavailable, GroupRunning, TopicMissing
from deploy.cluster.process import LOCALHOST, free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until_async

pytestmark = pytest.mark.kafka


@pytest.fixture
async def brokers(fresh_kafka: LiveKafka) -> AsyncIterator[Brokers]:
    # The first question about a group also waits for the broker to make its topic of offsets.
    asked = Brokers([fresh_kafka.bootstrap], timeout_s=30)
    yield asked
    await asked.close()


async def test_positions_of_a_group_that_has_read_some(fresh_kafka: LiveKafka, brokers: Brokers) -> None:
    fresh_kafka.create_topic("positions", partitions=2)
    fresh_kafka.produce("positions", [b"x"] * 5, partition=0)
    await brokers.set_offsets("reads-positions", "positions", {0: 2}, "why")

    found = await brokers.positions("reads-positions", "positions")

    assert found == {0: Position(2, 0, 5, "why"), 1: Position(None, 0, 0)}
    assert fresh_kafka.group_offsets("reads-positions", "positions") == {0: 2}


async def test_offsets_of_a_running_group_can_not_be_set(fresh_kafka: LiveKafka, brokers: Brokers) -> None:
    fresh_kafka.create_topic("running")
    fresh_kafka.produce("running", [b"x"] * 3)
    member = AIOKafkaConsumer(
        "running", bootstrap_servers=fresh_kafka.bootstrap, group_id="runs", enable_auto_commit=False
    )
    await member.start()
    try:
        group = await brokers.group("runs")
        assert (group.state, group.running) == ("Stable", True)
        assert [member.partitions for member in group.members] == [{"running": [0]}]
        with pytest.raises(GroupRunning, match="group runs is running"):
            await brokers.set_offsets("runs", "running", {0: 1}, "")
        assert fresh_kafka.group_offsets("runs", "running") == {}
    finally:
        await member.stop()

    await wait_until_async(lambda: _idle(brokers, "runs"), 15, "the group to be empty")
    await brokers.set_offsets("runs", "running", {0: 1}, "")
    assert fresh_kafka.group_offsets("runs", "running") == {0: 1}


async def _idle(brokers: Brokers, group: str) -> bool:
    return not (await brokers.group(group)).running


async def test_a_group_that_there_never_was(brokers: Brokers) -> None:
    group = await brokers.group("never-was")

    assert (group.state, group.members, group.running) == ("Dead", [], False)
    assert await brokers.committed("never-was", "any") == {}


async def test_offsets_by_time(fresh_kafka: LiveKafka, brokers: Brokers) -> None:
    fresh_kafka.create_topic("by-time", partitions=2)
    now_ms = int(time.time() * 1000)
    for age_s in (30, 20, 10):
        fresh_kafka.produce("by-time", [b"x"], partition=0, timestamp_ms=now_ms - age_s * 1000)

    assert await brokers.offsets_at("by-time", now_ms - 25_000) == {0: 1, 1: 0}
    assert await brokers.offsets_at("by-time", now_ms) == {0: 3, 1: 0}


async def test_a_missing_topic_is_said_and_not_created(fresh_kafka: LiveKafka, brokers: Brokers) -> None:
    with pytest.raises(TopicMissing, match="topic not-there does not exist"):
        await brokers.positions("g", "not-there")

    assert "not-there" not in fresh_kafka.topics()


async def test_no_broker_is_one_line_at_once() -> None:
    brokers = Brokers([f"{LOCALHOST}:{free_port()}"])
    began = time.monotonic()

    with pytest.raises(BrokersUnavailable, match="is not available") as failed:
        await brokers.ends("raw-log")

    assert time.monotonic() - began < 20, "at once, whatever the machine does beside"
    assert "\n" not in str(failed.value)


async def test_of_questions_asked_together_none_is_left_behind() -> None:
    brokers = Brokers([f"{LOCALHOST}:{free_port()}"])

    with pytest.raises(BrokersUnavailable):
        await brokers.positions("g", "raw-log")

    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_dead_letters_newest_first_over_markers_and_aborted_ones(
    fresh_kafka: LiveKafka, brokers: Brokers
) -> None:
    fresh_kafka.create_topic("dead-letter", partitions=2)
    producer = AIOKafkaProducer(bootstrap_servers=fresh_kafka.bootstrap, transactional_id="letters")
    await producer.start()
    try:
        now_ms = int(time.time() * 1000)
        for i in range(60):
            await producer.begin_transaction()
            headers = [("reason", b"no_pattern_matches"), ("error", b"e"), ("raw", b"0/%d" % i)]
            await producer.send(
                "dead-letter", b"line %d" % i, partition=i % 2, headers=headers, timestamp_ms=now_ms + i
            )
            if i % 3 == 2 or 20 <= i < 50:
                await producer.abort_transaction()
            else:
                await producer.commit_transaction()
    finally:
        await producer.stop()

    letters = await newest_dead_letters(brokers, 10)

    committed = [i for i in range(60) if not (i % 3 == 2 or 20 <= i < 50)]
    assert [letter.body for letter in letters] == [b"line %d" % i for i in committed[::-1][:10]]
    assert len(await newest_dead_letters(brokers, 1000)) == len(committed)


# Last: it takes the broker away.
async def test_a_broker_that_comes_back_is_asked_again(fresh_kafka: LiveKafka, brokers: Brokers) -> None:
    fresh_kafka.create_topic("comes-back")
    assert await brokers.ends("comes-back") == {0: 0}

    fresh_kafka.service.kill()
    began = time.monotonic()
    with pytest.raises(BrokersUnavailable):
        await brokers.ends("comes-back")
    assert time.monotonic() - began < 20, "not after the 40 s of the Kafka client"

    fresh_kafka.service.start()
    assert await brokers.ends("comes-back") == {0: 0}
