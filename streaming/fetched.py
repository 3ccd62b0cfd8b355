"""Fetched records as aiokafka's C reader makes them, without a Python object a record.

aiokafka copies each record into a `ConsumerRecord`, a dataclass made in Python, which takes longer than all decoding.
What the C reader gives has the same `offset`, `timestamp`, `timestamp_type`, `key`, `value` and `headers` (as a list),
and no topic and partition, which whoever takes a batch of a partition knows.

Which records there are stays aiokafka's own business: aborted transactions, control batches, checksums, the position.
Private parts used: `Fetcher._proc_fetch_request`, `Fetcher._records`, `FetchResult._partition_records`,
`PartitionRecords._consumer_record`; tests/unit/streaming/test_fetched.py holds each.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult

T = TypeVar("T")


def keep_as_fetched(consumer: AIOKafkaConsumer, topics: Container[str]) -> None:
    """Let a started consumer hand over the records of `topics` as its C reader makes them."""
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def fetched(*args: Any) -> Any:
        # Nothing is awaited between storing what was fetched and returning: nobody has begun to read it.
        answer = await fetch(*args)
        for tp, result in fetcher._records.items():
            if tp.topic in topics and type(result) is FetchResult and result.has_more():
                result._partition_records._consumer_record = as_it_is
        return answer

    fetcher._proc_fetch_request = fetched


def as_it_is(_tp: Any, record: T) -> T:
    """What takes the place of making a ConsumerRecord."""
    return record
