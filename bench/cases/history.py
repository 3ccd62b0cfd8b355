"""raw-log -> HDFS: jsonl gzip and text gzip; beside it Flume's Kafka source and HDFS sink writing text."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.kafka_load import access_line, fill
from bench.peers import flume
from bench.progress import Done, drain
from bench.result import Kind, Result
from bench.services import RAW_LOG, Services, running
from tests.support.worker import Worker

ROLL_S = 5


def history(services: Services, records: int) -> Iterator[Result]:
    """The same backlog into the same HDFS, one program after the other, each into a folder of its own."""
    services.empty()
    fill(services.broker.bootstrap, RAW_LOG, records, access_line)
    for history_format in ("jsonl", "text"):
        yield _sluice(services, records, history_format)
    yield _flume(services, records)


def _sluice(services: Services, records: int, history_format: str) -> Result:
    directory = services.new_directory(history_format)
    worker = Worker(
        directory,
        broker=services.broker.url,
        roles="history",
        app_id=directory.name,
        history=services.hdfs.history_url(f"/{directory.name}"),
        settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": ROLL_S, "SLUICE_HISTORY_FORMAT": history_format},
    )
    began = time.monotonic()
    with running(worker, ready=False):
        done = drain(services.broker.bootstrap, f"{directory.name}-history", RAW_LOG, records, [worker], began=began)
    rows = _rows(services, f"/{directory.name}", "data")
    assert rows == records, f"{rows:,} rows of {records:,}"
    return _result("sluice", f"Sluice, {history_format} gzip", records, done, "each record once in committed files")


def _flume(services: Services, records: int) -> Result:
    directory = services.new_directory("flume")
    url = f"hdfs://{services.hdfs.service.rpc_address}/{directory.name}"
    agent = flume.hdfs_sink(directory, services.broker.bootstrap, RAW_LOG, url)
    began = time.monotonic()
    with running(agent):
        done = flume.drain(agent, records, began=began)
    rows = _rows(services, f"/{directory.name}")
    assert rows >= records, f"{rows:,} rows of {records:,}"  # at least once
    return _result("peer", "Flume, text", records, done, f"{rows:,} rows")


def _rows(services: Services, path: str, below: str = "") -> int:
    """How many lines there are; the folder is deleted then."""
    hdfs = services.hdfs
    rows = sum(hdfs.read(file).count(b"\n") for file in hdfs.files(f"{path}/{below}"))
    hdfs.client.delete(path, recursive=True)
    return rows


def _result(kind: Kind, who: str, records: int, done: Done, note: str) -> Result:
    """With start-up: commits come by the roll, too seldom to tell a warm part from the rest."""
    cpu_us = done.used.cpu_s / records * 1e6
    load = f"{records:,} access lines"
    return Result("history", load, kind, who, records / done.seconds, "records/s", cpu_us, done.used.peak_mb, note)
