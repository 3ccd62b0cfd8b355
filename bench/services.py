"""What a case runs on: a broker, and an HDFS where asked for, of its own; and the worker that is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.worker import Worker

RAW_LOG = "raw-log"
PARTITIONS = 4


@contextmanager
def kafka(directory: Path) -> Iterator[LiveKafka]:
    """A broker that ends with the case."""
    live = LiveKafka(Kafka(directory / "kafka", heap_mb=768))
    try:
        live.service.start()
        yield live
    finally:
        live.service.kill()


@contextmanager
def hdfs(directory: Path) -> Iterator[LiveHdfs]:
    """A NameNode and a DataNode that end with the case."""
    live = LiveHdfs(Hdfs(directory / "hdfs"))
    try:
        live.service.start()
        yield live
    finally:
        live.close()
        live.service.kill()


@contextmanager
def running(worker: Worker, *, ready: bool = True) -> Iterator[Worker]:
    """A started worker, stopped at the end in an orderly way, whatever happens."""
    try:
        yield worker.start(ready=ready)
        worker.stop(60)
    finally:
        worker.kill()


def create_topics(directory: Path, broker: LiveKafka, partitions: int = PARTITIONS) -> None:
    """The topics as a worker makes them."""
    settings = {"SLUICE_PARTITIONS": partitions}
    with running(Worker(directory / "topics", broker=broker.url, roles="ingest", settings=settings)):
        pass
