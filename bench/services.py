"""What cases run on: one broker and one HDFS for all of them, and programs that end with their run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka

RAW_LOG = "raw-log"
PARTITIONS = 4


class Service(Protocol):
    """Something that is started, stopped and killed: a worker, a Flume agent, a plain process."""

    def stop(self) -> object: ...
    def kill(self) -> None: ...


S = TypeVar("S", bound=Service)


class Services:
    """A broker and an HDFS, each started when it is first asked for and ended by `close`.

    All programs that are compared get the same ones, so that none has the broker's cold start to pay for.
    """

    def __init__(self, directory: Path, *, broker: LiveKafka | None = None, hdfs: LiveHdfs | None = None) -> None:
        """A broker or an HDFS that is handed in stays with whoever started it."""
        self._directory = directory
        self._given = broker, hdfs
        self._ends = ExitStack()
        self._numbers = itertools.count(1)

    @cached_property
    def broker(self) -> LiveKafka:
        """The broker."""
        return self._given[0] or self._started(LiveKafka(Kafka(self._directory / "kafka", heap_mb=768)))

    @cached_property
    def hdfs(self) -> LiveHdfs:
        """The HDFS."""
        return self._given[1] or self._started(LiveHdfs(Hdfs(self._directory / "hdfs")))

    def empty(self, partitions: int = PARTITIONS) -> None:
        """No topic but an empty raw-log."""
        self.broker.delete_topics(*self.broker.topics())
        self.broker.create_topic(RAW_LOG, partitions)

    def new_directory(self, program: str) -> Path:
        """A folder for one run. Its name is no other run's: groups and folders in HDFS are named by it, too."""
        directory = self._directory / f"{program}-{next(self._numbers)}"
        directory.mkdir()
        return directory

    def close(self) -> None:
        """End what was started."""
        self._ends.close()

    def _started(self, live: Any) -> Any:
        self._ends.callback(live.service.kill)
        live.service.start()
        return live


@contextmanager
def running(service: S, **how: object) -> Iterator[S]:
    """A started service, stopped at the end in an orderly way, whatever happens; `how` is for its `start`."""
    try:
        service.start(**how)  # type: ignore[attr-defined]
        yield service
        service.stop()
    finally:
        service.kill()
