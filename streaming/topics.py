"""Creates the topics a worker needs before it subscribes; a topic added at run time would take Faust 45 s."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from streaming.errors import BrokerUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it is created where it does not exist.

    `like`: the topic whose number of partitions this one follows (lanes write to the same partition number).
    """

    name: str
    partitions: int
    replication: int
    like: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)


async def ensure_topics(bootstrap_servers: Sequence[str], specs: Sequence[TopicSpec]) -> dict[str, int]:
    """Create what is missing and widen what is too narrow. Returns partitions by topic.

    An existing topic's configuration is left as it is. Raises BrokerUnavailable where no broker answers or one
    refuses; call again, it is idempotent.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=list(bootstrap_servers), request_timeout_ms=15_000)
    try:
        await admin.start()
        counts = await _partition_counts(admin)
        for spec in specs:
            wanted = counts.get(spec.like or "", spec.partitions)
            have = counts.get(spec.name)
            if have is None:
                await _create(admin, spec, wanted)
                counts[spec.name] = wanted
            elif spec.like is not None and have < wanted:
                await admin.create_partitions({spec.name: NewPartitions(total_count=wanted)})
                log.info("Topic widened name=%s partitions=%d was=%d", spec.name, wanted, have)
                counts[spec.name] = wanted
        # Someone else may have created it a moment ago, with another number: what the brokers say counts.
        counts = await _partition_counts(admin) | {}
        return {spec.name: counts.get(spec.name, spec.partitions) for spec in specs}
    except (KafkaError, OSError) as exc:
        raise BrokerUnavailable(f"topics could not be checked at {';'.join(bootstrap_servers)}: {exc}") from exc
    finally:
        await admin.close()


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if topic["error_code"] == 0 and topic["partitions"]
    }


async def _create(admin: AIOKafkaAdminClient, spec: TopicSpec, partitions: int) -> None:
    topic = NewTopic(spec.name, partitions, spec.replication, topic_configs=dict(spec.config))
    answer = await admin.create_topics([topic])
    for _, code, *message in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise BrokerUnavailable(f"topic {spec.name} was refused: {error.__name__} {message}")
    log.info("Topic created name=%s partitions=%d replication=%d", spec.name, partitions, spec.replication)
