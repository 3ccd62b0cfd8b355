"""Flume 1.11 doing Sluice's work: an HTTP source into its Kafka channel, and a Kafka source into its HDFS sink."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.progress import Done, follow
from deploy.cluster.flume import Flume
from deploy.cluster.process import LOCALHOST

HEAP_MB = 1024
# With Java's own choice of compiler and collector, as a server has it; Hadoop looks into private fields of java.lang.
JAVA_OPTIONS = ("--add-opens=java.base/java.lang=ALL-UNNAMED",)
_CHANNEL = "org.apache.flume.channel.kafka.KafkaChannel"
_KAFKA_SOURCE = "org.apache.flume.source.kafka.KafkaSource"


def http_source(directory: Path, bootstrap: str, topic: str, port: int) -> Flume:
    """HTTP into Kafka, answered when Kafka has acknowledged."""
    return _flume(
        directory,
        {
            "sources": "http",
            "channels": "kafka",
            **_part("sources.http", {"type": "http", "bind": LOCALHOST, "port": port, "channels": "kafka"}),
            **_part(
                "channels.kafka",
                {
                    "type": _CHANNEL,
                    "kafka.bootstrap.servers": bootstrap,
                    "kafka.topic": topic,
                    "kafka.consumer.group.id": "flume-http",
                    "kafka.producer.acks": "all",
                    "kafka.producer.compression.type": "lz4",
                },
            ),
        },
    )


def hdfs_sink(directory: Path, bootstrap: str, topic: str, url: str) -> Flume:
    """A topic into text files below `url`. Batches and channel are large: with the defaults it is far slower."""
    return _flume(
        directory,
        {
            "sources": "kafka",
            "channels": "memory",
            "sinks": "hdfs",
            **_part(
                "sources.kafka",
                {
                    "type": _KAFKA_SOURCE,
                    "kafka.bootstrap.servers": bootstrap,
                    "kafka.topics": topic,
                    "kafka.consumer.group.id": directory.name,
                    "kafka.consumer.auto.offset.reset": "earliest",
                    "batchSize": 10_000,
                    "batchDurationMillis": 500,
                    "channels": "memory",
                },
            ),
            **_part("channels.memory", {"type": "memory", "capacity": 200_000, "transactionCapacity": 20_000}),
            **_part(
                "sinks.hdfs",
                {
                    "type": "hdfs",
                    "channel": "memory",
                    "hdfs.path": f"{url}/%{{type}}/%Y-%m-%d/%H",
                    "hdfs.useLocalTimeStamp": "true",
                    "hdfs.fileType": "DataStream",
                    "hdfs.writeFormat": "Text",
                    "hdfs.rollInterval": 60,
                    "hdfs.rollSize": 134_217_728,
                    "hdfs.rollCount": 0,
                    "hdfs.batchSize": 10_000,
                    "hdfs.minBlockReplicas": 1,
                },
            ),
        },
        with_hadoop=True,
    )


def drain(agent: Flume, total: int, *, began: float) -> Done:
    """Wait until the HDFS sink has written and flushed so many events, as the agent itself counts."""

    async def written() -> int:
        return int(agent.metrics()["SINK.hdfs"]["EventDrainSuccessCount"])

    return asyncio.run(follow(written, total, [agent], began=began))


def _part(prefix: str, properties: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}.{name}": value for name, value in properties.items()}


def _flume(directory: Path, properties: dict[str, object], *, with_hadoop: bool = False) -> Flume:
    return Flume(directory, properties, heap_mb=HEAP_MB, java_options=JAVA_OPTIONS, with_hadoop=with_hadoop)
