"""raw-log -> HDFS: jsonl gzip and text gzip; beside it Flume's Kafka source and HDFS sink writing text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import services
from bench.kafka_load import access_line, fill
from bench.measure import usage
from bench.peers import flume
from bench.progress import drain
from bench.result import SLUICE, Result
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.worker import Worker

DEADLINE_S = 900.0


def history(directory: Path, *, records: int) -> Iterator[Result]:
    """The same backlog into the same HDFS, one program after the other, each into a folder of its own."""
    load = f"{records:,} access lines"
    with services.kafka(directory) as broker, services.hdfs(directory) as hdfs:
        services.create_topics(directory, broker)
        fill(broker.bootstrap, services.RAW_LOG, records, access_line)
        for history_format in ("jsonl", "text"):
            yield _sluice(directory, broker, hdfs, load, records, history_format)
        yield _flume(directory, broker, hdfs, load, records)


def _sluice(directory: Path, broker: LiveKafka, hdfs: LiveHdfs, load: str, records: int, history_format: str) -> Result:
    root, app_id = f"/bench/{history_format}", f"bench-{history_format}"
    worker = Worker(
        directory / app_id,
        broker=broker.url,
        roles="history",
        app_id=app_id,
        history=hdfs.history_url(root),
        settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 5, "SLUICE_HISTORY_FORMAT": history_format},
    )
    with services.running(worker, ready=False):
        done = drain(
            broker.bootstrap, f"{app_id}-history", services.RAW_LOG, records,
            alive=lambda: worker.running, deadline_s=DEADLINE_S,
        )  # fmt: skip
        used = usage(worker.pid)
    rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files(f"{root}/data"))
    assert rows == records, f"{rows} rows of {records}"
    note = f"rows exact; {done.seconds:.1f} s with start-up"
    who, per_s = f"{SLUICE}, {history_format} gzip", records / done.seconds
    return Result("history", who, load, per_s, "records/s", used.cpu_s / records * 1e6, used.peak_mb, note)


def _flume(directory: Path, broker: LiveKafka, hdfs: LiveHdfs, load: str, records: int) -> Result:
    address = f"hdfs://{hdfs.service.rpc_address}"
    with flume.hdfs_sink(directory / "flume", broker.bootstrap, f"{address}/bench/flume", gzip=False) as process:
        done = drain(
            broker.bootstrap, flume.GROUP, services.RAW_LOG, records,
            alive=lambda: process.running, deadline_s=DEADLINE_S,
        )  # fmt: skip
        used = usage(process.pid)
    rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files("/bench/flume"))
    note = f"{rows:,} rows after it was stopped; {done.seconds:.1f} s with start-up"
    per_s = records / done.seconds
    return Result("history", "Flume, text", load, per_s, "records/s", used.cpu_s / records * 1e6, used.peak_mb, note)
