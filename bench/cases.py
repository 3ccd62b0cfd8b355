"""The cases: load, what is measured, and what has to have arrived for the figure to count."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError

from bench.kafka_load import fill
from bench.measure import Usage, usage
from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.worker import Worker


@dataclass(frozen=True)
class Result:
    """One row of the table."""

    case: str
    load: str
    per_s: float
    unit: str
    cpu_us: float  # of the worker, for each record or post
    peak_mb: float
    note: str


@contextmanager
def cluster(directory: Path, *, with_hdfs: bool) -> Iterator[tuple[LiveKafka, LiveHdfs | None]]:
    """A broker, and an HDFS where asked for, of the case's own."""
    kafka = LiveKafka(Kafka(directory / "kafka"))
    hdfs = LiveHdfs(Hdfs(directory / "hdfs")) if with_hdfs else None
    try:
        kafka.service.start()
        if hdfs is not None:
            hdfs.service.start()
        yield kafka, hdfs
    finally:
        kafka.close()
        kafka.service.kill()
        if hdfs is not None:
            hdfs.close()
            hdfs.service.kill()


@contextmanager
def ended(worker: Worker) -> Iterator[Worker]:
    """Stop a worker at the end, whatever happens."""
    try:
        yield worker
        worker.stop(60)
    finally:
        worker.kill()


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """A ready worker, stopped at the end."""
    with ended(worker):
        yield worker.start()


def _create_topics(directory: Path, kafka: LiveKafka) -> None:
    with running(Worker(directory / "topics", broker=kafka.url, roles="ingest")):
        pass


def _committed(kafka: LiveKafka, group: str) -> int:
    """Records that the group has committed; none while it has no coordinator yet."""
    try:
        return sum(kafka.group_offsets(group, "raw-log").values())
    except KafkaError:
        return 0


def _work_off(kafka: LiveKafka, worker: Worker, group: str, total: int) -> tuple[float, Usage]:
    """Start the worker, wait until its group has no lag. Returns the seconds that took, the start-up included."""
    began = time.monotonic()
    worker.start(ready=False)
    while _committed(kafka, group) < total:
        if time.monotonic() - began > 600 or not worker.running:
            raise RuntimeError(f"{group} did not catch up:\n{worker.log_tail()}")
        time.sleep(0.1)
    return time.monotonic() - began, usage(worker.pid)


def monitor(directory: Path, records: int) -> Result:
    """raw-log -> parsed, routed, windowed, access-log: exactly once, one worker, four partitions."""
    with cluster(directory, with_hdfs=False) as (kafka, _):
        _create_topics(directory, kafka)
        asyncio.run(fill(kafka.bootstrap, "raw-log", records))
        worker = Worker(directory / "worker", broker=kafka.url, roles="monitor")
        with ended(worker):
            seconds, used = _work_off(kafka, worker, "sluice-monitor", records)
            windows = sum(window["requests"] for window in worker.get_json("/api/access")["windows"])
        forwarded = len(kafka.consume("access-log")) if records <= 500_000 else records
        assert windows == forwarded == records, f"{windows} counted and {forwarded} forwarded of {records}"
    cpu_us = used.cpu_s / records * 1e6
    return Result(
        "monitor", f"{records:,} lines", records / seconds, "records/s", cpu_us, used.peak_mb, "windows exact"
    )


def history(directory: Path, records: int) -> Result:
    """raw-log -> HDFS, jsonl gzip, one worker, four partitions."""
    with cluster(directory, with_hdfs=True) as (kafka, hdfs):
        assert hdfs is not None
        _create_topics(directory, kafka)
        asyncio.run(fill(kafka.bootstrap, "raw-log", records))
        worker = Worker(
            directory / "worker",
            broker=kafka.url,
            roles="history",
            history=hdfs.history_url("/bench"),
            settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 5},
        )
        with ended(worker):
            seconds, used = _work_off(kafka, worker, "sluice-history", records)
        rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files("/bench/data"))
        assert rows == records, f"{rows} rows of {records}"
    cpu_us = used.cpu_s / records * 1e6
    return Result("history", f"{records:,} lines", records / seconds, "records/s", cpu_us, used.peak_mb, "rows exact")


def ingest(directory: Path, posts: int, connections: int, events: int = 1) -> Result:
    """HTTP posts, each answered after `acks=all`; one worker with the role ingest."""
    with cluster(directory, with_hdfs=False) as (kafka, _):
        worker = Worker(directory / "worker", broker=kafka.url, roles="ingest")
        with running(worker):
            said = _http_load(worker.url, max(posts // 10, connections), connections, events)  # warm
            before = usage(worker.pid)
            said = _http_load(worker.url, posts, connections, events)
            after = usage(worker.pid)
        arrived = sum(kafka.end_offsets("raw-log").values())
        expected = (posts + max(posts // 10, connections)) * events
        assert arrived == expected, f"{arrived} events arrived of {expected}"
    cpu_us = (after.cpu_s - before.cpu_s) / posts * 1e6
    note = f"p50 {said['p50_ms']} ms, p99 {said['p99_ms']} ms, all arrived"
    load = f"{posts:,} posts of {events}, {connections:,} connections"
    return Result("ingest", load, posts / float(str(said["seconds"])), "posts/s", cpu_us, after.peak_mb, note)


def _http_load(url: str, posts: int, connections: int, events: int) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-m", "bench.http_load", url, str(posts), str(connections), str(events)],
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
    )
    said: dict[str, object] = json.loads(ran.stdout)
    return said


def everything(directory: Path, posts: int, connections: int) -> Result:
    """All roles in one worker, real Kafka and HDFS: posts end as rows in HDFS and as requests in windows, exactly."""
    with cluster(directory, with_hdfs=True) as (kafka, hdfs):
        assert hdfs is not None
        worker = Worker(
            directory / "worker",
            broker=kafka.url,
            history=hdfs.history_url("/bench"),
            settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 5},
        )
        with running(worker):
            before = usage(worker.pid)
            said = _http_load(worker.url, posts, connections, 1)
            began = time.monotonic()
            for group in ("sluice-monitor", "sluice-history"):
                while _committed(kafka, group) < posts:
                    assert time.monotonic() - began < 300, f"{group} does not catch up"
                    time.sleep(0.1)
            after, behind_s = usage(worker.pid), time.monotonic() - began
            windows = sum(window["requests"] for window in worker.get_json("/api/access")["windows"])
        rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files("/bench/data"))
        assert windows == rows == posts, f"{windows} in windows and {rows} rows of {posts} posts"
    note = f"p99 {said['p99_ms']} ms, all in HDFS {behind_s:.1f} s later; rows and windows exact"
    per_s = posts / float(str(said["seconds"]))
    cpu_us = (after.cpu_s - before.cpu_s) / posts * 1e6
    load = f"{posts:,} posts of 1, {connections:,} connections"
    return Result("everything", load, per_s, "posts/s", cpu_us, after.peak_mb, note)


CASES: dict[str, Callable[[Path, bool], list[Result]]] = {
    "ingest": lambda path, short: [
        ingest(path / f"ingest-{connections}-{events}", posts // (50 if short else 1), connections, events)
        for posts, connections, events in ((100_000, 200, 1), (100_000, 1500, 1), (10_000, 200, 100))
    ],
    "monitor": lambda path, short: [monitor(path / "monitor", 20_000 if short else 1_000_000)],
    "history": lambda path, short: [history(path / "history", 20_000 if short else 2_000_000)],
    "everything": lambda path, short: [everything(path / "everything", 3_000 if short else 150_000, 1500)],
}


def run(names: list[str], *, short: bool) -> Iterator[Result]:
    """Run cases one after the other, each on services of its own."""
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as directory:
        for name in names:
            yield from CASES[name](Path(directory), short)
