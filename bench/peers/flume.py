"""Flume 1.11: an HTTP source into its Kafka channel, and a Kafka source into its HDFS sink."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster.fetch import fetch
from deploy.cluster.process import LOCALHOST, ServiceProcess
from deploy.cluster.programs import java

HEAP_MB = 1024
GROUP = "flume-history"

_HTTP = """
a.sources = http
a.channels = kafka
a.sources.http.type = http
a.sources.http.bind = {host}
a.sources.http.port = {port}
a.sources.http.channels = kafka
a.channels.kafka.type = org.apache.flume.channel.kafka.KafkaChannel
a.channels.kafka.kafka.bootstrap.servers = {bootstrap}
a.channels.kafka.kafka.topic = {topic}
a.channels.kafka.kafka.consumer.group.id = flume-http
a.channels.kafka.kafka.producer.acks = all
a.channels.kafka.kafka.producer.compression.type = lz4
"""

# Large batches and a large channel: with the defaults (100) it would be far slower.
_HISTORY = """
a.sources = kafka
a.channels = memory
a.sinks = hdfs
a.sources.kafka.type = org.apache.flume.source.kafka.KafkaSource
a.sources.kafka.kafka.bootstrap.servers = {bootstrap}
a.sources.kafka.kafka.topics = raw-log
a.sources.kafka.kafka.consumer.group.id = {group}
a.sources.kafka.kafka.consumer.auto.offset.reset = earliest
a.sources.kafka.batchSize = 10000
a.sources.kafka.batchDurationMillis = 500
a.sources.kafka.channels = memory
a.channels.memory.type = memory
a.channels.memory.capacity = 200000
a.channels.memory.transactionCapacity = 20000
a.sinks.hdfs.type = hdfs
a.sinks.hdfs.channel = memory
a.sinks.hdfs.hdfs.path = {url}/%{{type}}/%Y-%m-%d/%H
a.sinks.hdfs.hdfs.useLocalTimeStamp = true
a.sinks.hdfs.hdfs.fileType = {file_type}
{codec}
a.sinks.hdfs.hdfs.writeFormat = Text
a.sinks.hdfs.hdfs.rollInterval = 60
a.sinks.hdfs.hdfs.rollSize = 134217728
a.sinks.hdfs.hdfs.rollCount = 0
a.sinks.hdfs.hdfs.batchSize = 10000
a.sinks.hdfs.hdfs.minBlockReplicas = 1
"""


@contextmanager
def http_source(directory: Path, bootstrap: str, topic: str, port: int) -> Iterator[ServiceProcess]:
    """HTTP into Kafka; ready when it listens is for the caller to see."""
    with _agent(directory, _HTTP.format(host=LOCALHOST, port=port, bootstrap=bootstrap, topic=topic)) as process:
        yield process


@contextmanager
def hdfs_sink(directory: Path, bootstrap: str, url: str, *, gzip: bool) -> Iterator[ServiceProcess]:
    """raw-log into text files below `url`."""
    file_type = "CompressedStream" if gzip else "DataStream"
    codec = "a.sinks.hdfs.hdfs.codeC = gzip" if gzip else ""
    text = _HISTORY.format(bootstrap=bootstrap, group=GROUP, url=url, file_type=file_type, codec=codec)
    with _agent(directory, text) as process:
        yield process


@contextmanager
def _agent(directory: Path, configuration: str) -> Iterator[ServiceProcess]:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "agent.conf").write_text(configuration)
    (directory / "log4j2.xml").write_text(_LOGGING)
    process = ServiceProcess(
        "Flume",
        [
            java(),
            f"-Xmx{HEAP_MB}m",
            f"-Dlog4j2.configurationFile={directory / 'log4j2.xml'}",
            "--add-opens=java.base/java.lang=ALL-UNNAMED",
            *("-cp", f"{fetch('flume-peer')}/*:{fetch('hadoop')}/*"),
            *("org.apache.flume.node.Application", "-n", "a", "-f", str(directory / "agent.conf")),
        ],
        directory / "flume.log",
        cwd=directory,
    )
    process.start()
    try:
        yield process
        process.stop(30)
    finally:
        process.kill()


_LOGGING = """<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
"""
