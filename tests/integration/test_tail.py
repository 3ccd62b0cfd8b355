"""What a real Kafka says of lines that were sent and not saved."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sources.tail.recall import KafkaRecall, Reached, RecallFailed
from tests.support.kafka import LiveKafka

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def topic() -> str:
    return f"tail-{uuid.uuid4().hex[:8]}"


@pytest.fixture
async def recall(kafka: LiveKafka, topic: str):
    recall = KafkaRecall([kafka.bootstrap], topic, settles_s=0.2)
    yield recall
    await recall.close()


def put(kafka: LiveKafka, topic: str, *marks: bytes, host: bytes = b"web-1") -> None:
    for mark in marks:
        kafka.produce(topic, [b"x"], key=host, headers=[("type", b"t"), ("tail", mark)])


async def test_no_topic_is_no_answer(recall: KafkaRecall) -> None:
    with pytest.raises(RecallFailed, match="does not exist yet"):
        await recall.ends()


async def test_the_newest_of_each_content(kafka: LiveKafka, topic: str, recall: KafkaRecall) -> None:
    kafka.create_topic(topic, 3)
    put(kafka, topic, b"a/10", b"b/5", b"a/20")
    since = await recall.ends()
    assert sum(since.values()) == 3
    put(kafka, topic, b"b/7", b"c/9/2", b"other/1", b"", b"c/x", b"/", b"a/1/2/3", b"\xff/1", b"c")
    put(kafka, topic, b"b/99", host=b"web-2-in-another-partition")
    everything = await recall.newest("web-1", ["a", "b", "c"], {})
    assert everything["a"] == Reached(20, 0)
    behind = await recall.newest("web-1", ["b", "c", "d"], since)
    assert behind["c"] == Reached(9, 2)
    assert behind["b"].position in (7, 99)
    assert "d" not in behind
    assert await recall.newest("web-1", ["a"], await recall.ends()) == {}


async def test_what_arrives_while_it_looks_is_found(kafka: LiveKafka, topic: str) -> None:
    """A killed producer's last request may still be with the broker: here it is taken while what was read settles."""
    kafka.create_topic(topic)
    put(kafka, topic, b"a/1")
    asked = 0

    class Meanwhile(KafkaRecall):
        async def ends(self) -> dict[int, int]:
            nonlocal asked
            asked += 1
            if asked == 2:
                await asyncio.to_thread(put, kafka, topic, b"a/2")
            return await super().ends()

    recall = Meanwhile([kafka.bootstrap], topic, settles_s=0.2)
    assert await recall.newest("web-1", ["a"], {}) == {"a": Reached(2, 0)}
    await recall.close()


async def test_a_topic_made_anew_is_read_from_its_beginning(kafka: LiveKafka, topic: str, recall: KafkaRecall) -> None:
    kafka.create_topic(topic)
    put(kafka, topic, b"a/1")
    assert await recall.newest("web-1", ["a"], {0: 1_000}) == {"a": Reached(1, 0)}
