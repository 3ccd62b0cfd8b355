"""A whole deployment to break: real Kafka and HDFS behind proxies, three workers, and what is judged in the end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import requests

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from deploy.cluster.process import LOCALHOST
from tests.support.hdfs import LiveHdfs
from tests.support.history_watch import HistoryWatch
from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import Oracle, hdfs_records
from tests.support.polling import PATIENCE_S, wait_until
from tests.support.proxy import Proxy
from tests.support.schedule import Timeline
from tests.support.worker import Worker, Workers

GROUPS = ("sluice-monitor", "sluice-history")
CHANGELOG = "sluice-monitor-changelog"
RECOVERED_S = 90.0  # times polling.SLACK: from the last healing to the last offset
STOP_S = 60.0  # twice the contract's, as other faults may hold and the machine is shared
# The changelog is compacted all the time, as far as Kafka is willing to.
_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "4000",
    "min.cleanable.dirty.ratio": "0.01",
    "max.compaction.lag.ms": "5000",
}


class Services:
    """A Kafka and an HDFS with their proxies; what is read and judged goes past these."""

    def __init__(self, directory: Path) -> None:
        self.kafka_proxy, self.hdfs_proxy = Proxy(), Proxy()
        self.kafka = LiveKafka(
            Kafka(
                directory / "kafka",
                proxy_ports=[self.kafka_proxy.port],
                settings={"log.cleaner.backoff.ms": "1000"},
            )
        )
        self.hdfs = LiveHdfs(Hdfs(directory / "hdfs"))

    @property
    def broker(self) -> str:
        """SLUICE_BROKER, through the proxy."""
        return f"kafka://{LOCALHOST}:{self.kafka_proxy.port}"

    def history(self, root: str) -> str:
        """SLUICE_HISTORY, through the proxy. Only the NameNode's: a DataNode is reached where it says it is."""
        return self.hdfs.history_url(root).replace(f":{self.hdfs.service.http_port}/", f":{self.hdfs_proxy.port}/")

    def start(self) -> None:
        self.kafka.service.start()
        self.hdfs.service.directory.mkdir(parents=True, exist_ok=True)
        self.hdfs.service.start()
        self.kafka_proxy.start(self.kafka.service.ports_behind_proxies[0])
        self.hdfs_proxy.start(self.hdfs.service.http_port)

    def heal(self) -> None:
        """Everything runs and every way is open."""
        for proxy in (self.kafka_proxy, self.hdfs_proxy):
            proxy.reopen()
            proxy.flow()
        self.kafka.service.start()
        self.hdfs.service.start()

    def close(self) -> None:
        """End all of it."""
        self.hdfs.close()
        for service in (self.kafka, self.hdfs):
            service.service.kill()
        for proxy in (self.kafka_proxy, self.hdfs_proxy):
            proxy.close()


class Bed:
    """One round: no topics, no history, three workers that are not started. The third's data lies on `small_disk`."""

    def __init__(
        self, services: Services, workers: Workers, small_disk: Path, timeline: Timeline, settings: Mapping[str, object]
    ) -> None:
        self.services = services
        self.timeline = timeline
        self.small_disk = small_disk
        self.kafka, self.hdfs = services.kafka, services.hdfs
        services.heal()
        self.kafka.delete_topics(*self.kafka.topics())
        self.root = self.hdfs.new_path()
        common = {
            "SLUICE_HISTORY": services.history(self.root),
            "SLUICE_HISTORY_ROLL_INTERVAL_S": 2,
            "SLUICE_RETENTION_S": 7200,
            **settings,
        }
        own: list[dict[str, object]] = [{}, {}, {"SLUICE_DATA_DIR": small_disk / "data"}]
        self.workers = [workers(broker=services.broker, settings={**common, **each}, start=False) for each in own]

    @property
    def urls(self) -> list[str]:
        return [each.url for each in self.workers]

    def data_dir(self, worker: Worker) -> Path:
        """Where a worker keeps its state and its buffers."""
        return self.small_disk / "data" if worker is self.workers[2] else worker.data_dir

    def start(self) -> None:
        """One worker, ready; then the two others, on their way."""
        self.workers[0].start()
        self.kafka.alter_topic(CHANGELOG, _COMPACTED)
        for each in self.workers[1:]:
            each.start(ready=False)

    def stop(self, worker: Worker) -> None:
        """SIGTERM once it handles signals (Python ends at once before); asserts that it ends well."""
        wait_until(lambda: _answers(worker), PATIENCE_S, f"{worker.directory.name} to have begun")
        worker.stop(deadline_s=STOP_S)

    def settled(self) -> None:
        """Heal what is still broken; every worker gets ready by itself, and both groups get to where raw-log is now."""
        self.services.heal()
        for each in self.workers:
            assert each.running, f"{each.directory.name} has ended by itself:\n{each.log_tail()}"
            each.wait_ready()
        self.caught_up()
        self.timeline.note("settled   every worker is ready and nothing lags")

    def caught_up(self) -> None:
        """Wait until both groups have committed what raw-log has now, while more may be arriving."""
        ends = self.kafka.end_offsets("raw-log")
        for group in GROUPS:
            wait_until(_reached(self.kafka, group, ends), RECOVERED_S, f"{group} to reach {ends}", retry_on=Exception)

    def judge(self, load: Load, watch: HistoryWatch, windows_since_s: Callable[[], int] = lambda: 0) -> Oracle:
        """Stop the load; everything must hold. The first worker is asked for the windows."""
        load.stop()
        self.caught_up()
        answering = self.workers[0]
        answering.wait_ready()
        oracle = Oracle(self.kafka)
        since_s = windows_since_s()
        rows = hdfs_records(self.hdfs, self.root)
        oracle.judge(load.acknowledged, load.attempted, rows, answering.get_json, windows_since_s=since_s)
        watch.judge()
        changelog = self.kafka.consume(CHANGELOG, isolation="read_uncommitted")
        self.timeline.note(
            f"judged    {len(oracle.raw)} records of {len(load.attempted)} events, {len(load.acknowledged)} "
            f"acknowledged, {load.refused} answers of 503, {load.unanswered} posts without one; {watch.looks} looks "
            f"at the history; {len(changelog)} of {sum(self.kafka.end_offsets(CHANGELOG).values())} changes left"
        )
        return oracle


def mount_small_disk(directory: Path, mebibytes: int) -> None:
    """A file system of its own; the tests run as root, as Docker's and CI's do."""
    directory.mkdir(parents=True)
    size = f"size={mebibytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "sluice-test", str(directory)], check=True)


def unmount(directory: Path) -> None:
    """Also while somebody still holds a file there."""
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(path: Path) -> None:
    """Write until the file system has no room left."""
    room = os.statvfs(path.parent)
    with pytest.raises(OSError, match="No space left"):
        path.write_bytes(bytes(room.f_blocks * room.f_frsize + 1))


def _answers(worker: Worker) -> bool:
    try:
        return worker.get("/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _reached(kafka: LiveKafka, group: str, ends: Mapping[int, int]) -> Callable[[], bool]:
    def reached() -> bool:
        committed = kafka.group_offsets(group, "raw-log")
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    return reached
