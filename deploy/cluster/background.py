"""A Kafka and an HDFS that are left running for a person to use: `make cluster`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from deploy.cluster.process import ProcessId, free_port, port_is_free

_KAFKA_PORT = 9092
_NAMENODE_HTTP_PORT = 9870


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the running cluster is, as values of the settings of the same names."""

    broker: str
    history: str


class BackgroundCluster:
    """The one background cluster of a folder, found again by its pid files; data stays from start to start.

    Usual ports where they are free. Not safe against two starts at the same moment.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._addresses = directory / "addresses.json"

    def running(self) -> Addresses | None:
        """Where it is; None unless every process of it runs."""
        recorded = [ProcessId.read(file) for file in self._pid_files()]
        if not self._addresses.exists() or not recorded:
            return None
        if any(process is None or not process.running for process in recorded):
            return None
        return Addresses(**json.loads(self._addresses.read_text()))

    def start(self) -> Addresses:
        """Start Kafka and HDFS and return when both answer; what was left of an earlier start is stopped first.

        Raises: ClusterError, with nothing left running; so does Ctrl-C.
        """
        self.stop()
        kafka = Kafka(self.directory / "kafka", ports=[_usual_or_free(_KAFKA_PORT)], detached=True)
        hdfs = Hdfs(self.directory / "hdfs", http_port=_usual_or_free(_NAMENODE_HTTP_PORT), detached=True)
        addresses = Addresses(kafka.url, hdfs.history_url("/sluice"))
        try:
            kafka.start()
            hdfs.start()
        except BaseException:
            self.stop()
            raise
        self._addresses.write_text(json.dumps(asdict(addresses)) + "\n")
        return addresses

    def stop(self) -> list[int]:
        """Stop every process of it, by pid; those of others are never touched. Returns the pids that ran."""
        stopped = []
        for file in self._pid_files():
            process = ProcessId.read(file)
            if process is not None and process.running:
                process.stop()
                stopped.append(process.pid)
            file.unlink(missing_ok=True)
        self._addresses.unlink(missing_ok=True)
        return stopped

    def _pid_files(self) -> list[Path]:
        return sorted(self.directory.glob("*/*.pid"))


def _usual_or_free(port: int) -> int:
    return port if port_is_free(port) else free_port()
