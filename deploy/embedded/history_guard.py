"""Keeps an older history apart when the broker has lost what that history was written from.

Files of the history are named by offsets. When the broker's data was deleted, or its last seconds were lost because it
was killed, the same offsets are given again to other records; the worker refuses to mix them and its history stops.
Here the broker is only for trying out, so the older history is set aside and a new one begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from sinks.history import layout
from sinks.history.commit import CommitLog
from sinks.history.errors import SinkError
from sinks.history.local import LocalStorage

RAW_LOG = "raw-log"
_TIMEOUT_S = 20.0


def written_ends(root: Path) -> dict[int, int]:
    """For each partition of raw-log with a history under `root`, the offset after its last committed record."""
    storage = LocalStorage(root)
    ends = {}
    for directory in (root / layout.COMMITS).glob(f"{RAW_LOG}+*"):
        named = layout.parse_partition_name(directory.name)
        if named is None or named[0] != RAW_LOG:
            continue
        try:
            newest = CommitLog(storage, *named).newest()
        except SinkError:
            continue  # damaged: the worker says so, better than could be said here
        if newest is not None:
            ends[named[1]] = newest.last + 1
    return ends


def broker_ends(bootstrap_server: str) -> dict[int, int]:
    """The end of each partition of raw-log; empty where the topic does not exist. Asks without creating it."""
    return asyncio.run(asyncio.wait_for(_broker_ends(bootstrap_server), _TIMEOUT_S))


def lost_partitions(written: Mapping[int, int], ends: Mapping[int, int]) -> list[int]:
    """Partitions of which the history has offsets that the broker has not given, or has lost."""
    return sorted(partition for partition, end in written.items() if end > ends.get(partition, 0))


def set_aside(root: Path, now: datetime | None = None) -> Path:
    """Rename the history to `<root>.<UTC time>` and return where it is now."""
    stamp = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    aside = root.with_name(f"{root.name}.{stamp}")
    root.rename(aside)
    return aside


async def _broker_ends(bootstrap_server: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_server, enable_auto_commit=False)
    await consumer.start()
    try:
        if RAW_LOG not in await consumer.topics():  # asking for a topic's partitions would create it
            return {}
        partitions = consumer.partitions_for_topic(RAW_LOG) or set()
        ends = await consumer.end_offsets([TopicPartition(RAW_LOG, partition) for partition in partitions])
        return {tp.partition: end for tp, end in ends.items()}
    finally:
        await consumer.stop()
