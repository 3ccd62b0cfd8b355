"""What the machine gives where a path has nothing else to do: the figures that Sluice's own are held against."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer

from agents.monitor import STRETCH_RECORDS
from bench.cases.ingest import Load
from bench.kafka_load import access_line, fill, order_line
from bench.measure import usage
from bench.result import Result
from bench.services import RAW_LOG, Services, running
from bench.wrk import load_http
from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port
from parsers.tomcat import compile_patterns
from sinks.history.codec import compress
from sinks.history.encoder import Encoder, Format
from sinks.history.storage import Body
from sinks.history.webhdfs import WebHdfsStorage
from streaming.fetched import keep_as_fetched
from tests.support.polling import PATIENCE_S
from tests.support.worker import ROOT

PIECE_RECORDS = 2000  # compressed at once


def limits(services: Services, loads: Sequence[Load], records: int, lines: int) -> Iterator[Result]:
    """Bare aiohttp under each load; one consumer that only fetches; parsers, gzip and an upload, one thread each."""
    for load in loads:
        yield _aiohttp(services, load)
    services.empty()
    fill(services.broker.bootstrap, RAW_LOG, records, access_line)
    _, per_s, cpu_us = asyncio.run(_getmany(services.broker.bootstrap, records, lines, in_columns=False))
    yield _result("monitor", "aiokafka's getmany", per_s, cpu_us)
    fetched, per_s, cpu_us = asyncio.run(_getmany(services.broker.bootstrap, records, lines, in_columns=True))
    for case in ("monitor", "history"):
        yield _result(case, "bare getmany", per_s, cpu_us)
    bodies = [record.value for record in fetched]
    parse_many = compile_patterns(["combined", "common"], 10).parse_many
    stretches = [bodies[start : start + STRETCH_RECORDS] for start in range(0, lines, STRETCH_RECORDS)]
    yield _timed("monitor", "bare parser", lines, lambda: [parse_many(stretch) for stretch in stretches])
    rng = random.Random(1)
    orders = [order_line(number, 0, rng)[0] for number in range(lines)]
    yield _timed("business", "bare JSON parser", lines, lambda: [orjson.loads(order) for order in orders])
    pieces: dict[Format, list[bytes]] = {"jsonl": [], "text": []}
    for name, rows in pieces.items():
        encoder = Encoder(0, name)
        for start in range(0, lines, PIECE_RECORDS):
            rows += [each.data for each in encoder.encode(fetched[start : start + PIECE_RECORDS]).values()]
        yield _timed("history", f"bare gzip of {name}", lines, partial(_gzip, rows))
    yield _upload(services, lines, _gzip(pieces["jsonl"]))


def _aiohttp(services: Services, load: Load) -> Result:
    port = free_port()
    directory = services.new_directory("aiohttp")
    server = ServiceProcess(
        "aiohttp",
        [sys.executable, "-m", "bench.peers.bare_aiohttp", str(port)],
        directory / "aiohttp.log",
        cwd=directory,
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    urls = [f"http://{LOCALHOST}:{port}/"]
    with running(server):
        server.wait_ready(lambda: _why_not_listening(port), PATIENCE_S)
        load_http(urls, load.connections, load.events, load.warm_s)
        before = usage([server])
        said = load_http(urls, load.connections, load.events, load.seconds)
        used = usage([server])
    cpu_us = (used.cpu_s - before.cpu_s) / (said.posts * load.events) * 1e6
    return _result("ingest", "bare aiohttp", said.per_s * load.events, cpu_us, load=str(load))


async def _getmany(bootstrap: str, records: int, keep: int, *, in_columns: bool) -> tuple[list[Any], float, float]:
    """The first records, to work with, and how fast all of them came; as a worker takes them where `in_columns`."""
    consumer = AIOKafkaConsumer(RAW_LOG, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    if in_columns:
        keep_as_fetched(consumer, {RAW_LOG})
    try:
        kept: list[Any] = []
        began, cpu_began, fetched = time.perf_counter(), time.process_time(), 0
        while fetched < records:
            for batch in (await consumer.getmany(timeout_ms=1000)).values():
                fetched += len(batch)
                if len(kept) < keep:
                    kept += batch[: keep - len(kept)]
        elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    finally:
        await consumer.stop()
    return kept, fetched / elapsed_s, cpu_s / fetched * 1e6


def _why_not_listening(port: int) -> str | None:
    with socket.socket() as probe:
        return None if probe.connect_ex((LOCALHOST, port)) == 0 else "nothing listens"


def _gzip(pieces: Sequence[bytes]) -> bytes:
    return b"".join(compress(piece, "gzip") for piece in pieces)


def _upload(services: Services, lines: int, body: bytes) -> Result:
    root = f"/{services.new_directory('upload').name}"
    storage = WebHdfsStorage([services.hdfs.url], root, "sluice")
    result = _timed("history", "bare upload of jsonl", lines, lambda: storage.write("a", Body([body])))
    assert services.hdfs.client.status(f"{root}/a")["length"] == len(body)
    services.hdfs.client.delete(root, recursive=True)
    return result


def _timed(case: str, who: str, records: int, work: Callable[[], object]) -> Result:
    began, cpu_began = time.perf_counter(), time.process_time()
    work()
    elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return _result(case, who, records / elapsed_s, cpu_s / records * 1e6)


def _result(case: str, who: str, per_s: float, cpu_us: float, *, load: str = "") -> Result:
    unit = "events/s" if case == "ingest" else "records/s"
    return Result(case, load, "limit", who, per_s, unit, cpu_us, 0.0, "nothing else was done")
