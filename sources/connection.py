"""One idempotent producer, and what the brokers say about the topic it writes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, UnknownTopicOrPartitionError, for_code

from sources.batches import LZ4, Batch, new_batch

log = logging.getLogger(__name__)

# A batch is compressed on the event loop's thread: a quarter of a MiB takes lz4 well under a millisecond.
BATCH_BYTES = 262_144
# Kafka's own default for a topic, taken where the brokers don't tell.
DEFAULT_MAX_MESSAGE_BYTES = 1_048_588
# How soon new partitions are noticed.
_METADATA_MAX_AGE_MS = 30_000


class Connection:
    """A started producer (idempotent, `acks=all`, lz4) for one topic. Made by `connect`, ended by `close`.

    aiokafka retries a batch for ever while brokers are away, with the same sequence number, so that it is written once.
    When a batch fails for good its sequence numbers are lost and the brokers refuse all later ones of that partition:
    the connection is then to be closed and a new one made.
    """

    def __init__(self, producer: Any, topic: str, max_message_bytes: int) -> None:
        self._producer = producer
        self._topic = topic
        self.max_message_bytes = max_message_bytes

    def partitions(self) -> int:
        """How many partitions the topic has, as far as is known; 0 while the topic is missing."""
        return len(self._producer.client.cluster.partitions_for_topic(self._topic) or ())

    def new_batch(self) -> Batch:
        """An empty batch. It takes records until it is full or submitted."""
        return new_batch(min(BATCH_BYTES, self.max_message_bytes), LZ4)

    async def submit(self, batch: Batch, partition: int) -> Awaitable[Any]:
        """Hand a batch over. The awaitable returned is done when the brokers have acknowledged it."""
        # aiokafka counts a batch's sequence numbers one turn of the loop before it closes the batch: a record that got
        # in between (with 200 clients one does within a second) would put all later batches out of sequence.
        batch.close()
        delivered: Awaitable[Any] = await self._producer.send_batch(batch, self._topic, partition=partition)
        return delivered

    async def close(self, timeout_s: float) -> None:
        """End the producer within about `timeout_s`; batches that are not acknowledged yet fail.

        Whether those are in Kafka is not known.
        """
        producer = self._producer
        # A producer waits for its batches when it is stopped, for ever if the brokers are away: end its sender first
        # and fail what is left. Cancelling once lets requests in flight end by themselves, twice does not.
        sender = producer._sender.sender_task
        patience_s = timeout_s / 2
        while not sender.done():
            sender.cancel()
            await asyncio.wait({sender}, timeout=patience_s)
            patience_s = 0.1
        producer._message_accumulator.fail_all(KafkaError("the producer was closed"))
        await _stop(producer, timeout_s / 2)


async def connect(bootstrap_servers: Sequence[str], topic: str, client_id: str, request_timeout_ms: int) -> Connection:
    """Start a producer for an existing topic. Leaves nothing behind when it fails or is cancelled.

    Raises: KafkaError or OSError if no broker answers, or the topic does not exist (it is never created here).
    """
    timeout_s = 2 * request_timeout_ms / 1000
    servers = list(bootstrap_servers)
    max_message_bytes = await asyncio.wait_for(
        _max_message_bytes(servers, topic, client_id, request_timeout_ms), timeout_s
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=request_timeout_ms,
        metadata_max_age_ms=_METADATA_MAX_AGE_MS,
    )
    try:
        await asyncio.wait_for(producer.start(), timeout_s)
        await asyncio.wait_for(_learn(producer.client, topic), timeout_s)
    except BaseException:
        await _stop(producer, timeout_s)
        raise
    return Connection(producer, topic, max_message_bytes)


async def _learn(client: Any, topic: str) -> None:
    """Get the topic's metadata. Asking for a topic by name may create it, with the brokers' idea of partitions: asked
    for are all topics first, and this one by name, now and later, only if it is among them.
    """
    everything = await client.fetch_all_metadata()
    if not everything.partitions_for_topic(topic):
        raise UnknownTopicOrPartitionError(topic)
    await client.add_topic(topic)
    if not client.cluster.partitions_for_topic(topic):
        raise UnknownTopicOrPartitionError(topic)


async def _max_message_bytes(servers: list[str], topic: str, client_id: str, request_timeout_ms: int) -> int:
    """The topic's max.message.bytes: its own, or the brokers' message.max.bytes."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, client_id=client_id, request_timeout_ms=request_timeout_ms)
    try:
        await admin.start()
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": None})
        resource = (await admin.describe_configs([wanted]))[0].resources[0]
        error = for_code(resource[0])
        if error is UnknownTopicOrPartitionError:
            raise error(topic)
        for name, value, *_ in resource[4]:
            if name == "max.message.bytes":
                return int(value)
        why = error.__name__
    except IncompatibleBrokerVersion as told:
        why = str(told)
    finally:
        await admin.close()
    log.warning(
        "The brokers do not tell max.message.bytes of topic=%s (%s): taking %d.", topic, why, DEFAULT_MAX_MESSAGE_BYTES
    )
    return DEFAULT_MAX_MESSAGE_BYTES


async def _stop(producer: Any, timeout_s: float) -> None:
    with contextlib.suppress(asyncio.TimeoutError, KafkaError, OSError):
        await asyncio.wait_for(producer.stop(), timeout_s)
