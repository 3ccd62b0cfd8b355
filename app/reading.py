"""Reading stretches of partitions outside of any group, to a known end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from app.brokers import Brokers, stopped

POLL_MS = 200


async def read(
    brokers: Brokers, stretches: Mapping[TopicPartition, tuple[int, int]], **options: Any
) -> AsyncIterator[tuple[TopicPartition, list[ConsumerRecord]]]:
    """Committed records from `first` to before `end` of each partition, in offset order within a partition.

    Transaction markers and aborted records take offsets and give nothing: a stretch ends where its offsets do. Raises
    BrokersUnavailable when nothing comes for the brokers' timeout; what was given until then stands. `options` are
    aiokafka's, for a consumer that is started for this and stopped at the end.
    """
    left = {tp: end for tp, (first, end) in stretches.items() if first < end}
    if not left:
        return
    topics = "/".join(sorted({tp.topic for tp in left}))
    consumer = brokers.consumer(isolation_level="read_committed", auto_offset_reset="none", **options)
    try:
        await asyncio.wait_for(consumer.start(), brokers.timeout_s)
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, stretches[tp][0])
        moved_at = time.monotonic()
        while left:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            for tp, records in fetched.items():
                wanted = [record for record in records if record.offset < left[tp]] if tp in left else []
                if wanted:
                    yield tp, wanted
            # Also moves over what gives no record: aiokafka's position passes markers and aborted batches.
            done = [tp for tp, end in left.items() if await consumer.position(tp) >= end]
            for tp in done:
                del left[tp]
                consumer.pause(tp)
            now = time.monotonic()
            if fetched or done:
                moved_at = now
            elif now - moved_at > brokers.timeout_s:
                raise brokers.unavailable(f"reading {topics}", asyncio.TimeoutError())
    except (KafkaError, OSError, asyncio.TimeoutError) as exc:
        raise brokers.unavailable(f"reading {topics}", exc) from exc
    finally:
        await stopped(consumer.stop())


async def committed_ends(brokers: Brokers, topic: str) -> dict[int, int]:
    """Where each partition's committed part ends: nothing can be read past an open transaction. Raises TopicMissing."""
    partitions = [TopicPartition(topic, p) for p in await brokers.beginnings(topic)]
    consumer = brokers.consumer(isolation_level="read_committed")
    try:
        await asyncio.wait_for(consumer.start(), brokers.timeout_s)
        ends = await asyncio.wait_for(consumer.end_offsets(partitions), brokers.timeout_s)
        return {tp.partition: end for tp, end in ends.items()}
    except (KafkaError, OSError, asyncio.TimeoutError) as exc:
        raise brokers.unavailable(f"ends of {topic}", exc) from exc
    finally:
        await stopped(consumer.stop())
