"""HTTP posts, each answered after `acks=all`; beside it Flume's HTTP source into its Kafka channel. wrk is the load."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import services
from bench.measure import usage
from bench.peers import flume
from bench.result import SLUICE, Result
from bench.wrk import Said, load_http
from deploy.cluster.process import LOCALHOST, free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker

WARM_S = 3.0
FLUME_TOPIC = "flume-channel"


@dataclass(frozen=True)
class Load:
    """What clients do: so many connections, each with a post under way all the time."""

    connections: int
    events: int  # a post
    seconds: float

    def __str__(self) -> str:
        return f"{self.events} event{'s' if self.events > 1 else ''} a post, {self.connections:,} connections"


def ingest(directory: Path, loads: list[Load], *, processes: tuple[int, ...]) -> Iterator[Result]:
    """Each load against Sluice with so many processes, then against Flume, which is a single one."""
    for number, load in enumerate(loads):
        for count in processes:
            with services.kafka(directory / f"sluice-{number}-{count}") as broker:
                yield _sluice(directory / f"sluice-{number}-{count}", broker, load, count)
        with services.kafka(directory / f"flume-{number}") as broker:
            yield _flume(directory / f"flume-{number}", broker, load)


def _sluice(directory: Path, broker: LiveKafka, load: Load, count: int) -> Result:
    workers = [Worker(directory / f"worker-{n}", broker=broker.url, roles="ingest") for n in range(count)]
    with contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(services.running(worker))
        urls = [f"{worker.url}/logCollect2" for worker in workers]
        warm = load_http(urls, load.connections, load.events, WARM_S)
        before = [usage(worker.pid) for worker in workers]
        said = load_http(urls, load.connections, load.events, load.seconds)
        after = [usage(worker.pid) for worker in workers]
    cpu_s = sum(late.cpu_s - early.cpu_s for early, late in zip(before, after, strict=True))
    note = _checked(broker, services.RAW_LOG, load, warm, said)
    who = SLUICE if count == 1 else f"{SLUICE}, {count} processes"
    peak_mb = max(each.peak_mb for each in after)
    return Result(
        "ingest", who, str(load), said.per_s * load.events, "events/s", cpu_s / max(said.posts, 1) * 1e6, peak_mb, note
    )


def _flume(directory: Path, broker: LiveKafka, load: Load) -> Result:
    broker.create_topic(FLUME_TOPIC, partitions=services.PARTITIONS)
    port = free_port()
    with flume.http_source(directory / "flume", broker.bootstrap, FLUME_TOPIC, port) as process:
        wait_until(lambda: _listens(port), 60, "Flume's HTTP source")
        urls = [f"http://{LOCALHOST}:{port}/"]
        warm = load_http(urls, load.connections, load.events, WARM_S)
        before = usage(process.pid)
        said = load_http(urls, load.connections, load.events, load.seconds)
        after = usage(process.pid)
    note = _checked(broker, FLUME_TOPIC, load, warm, said)
    cpu_us = (after.cpu_s - before.cpu_s) / max(said.posts, 1) * 1e6
    return Result("ingest", "Flume", str(load), said.per_s * load.events, "events/s", cpu_us, after.peak_mb, note)


def _checked(broker: LiveKafka, topic: str, load: Load, *runs: Said) -> str:
    """All that was acknowledged has arrived; what was under way when wrk stopped may have arrived too."""
    acknowledged = sum(run.posts for run in runs) * load.events
    under_way = len(runs) * load.connections * load.events
    arrived = sum(broker.end_offsets(topic).values())
    assert acknowledged <= arrived, f"{arrived:,} arrived of {acknowledged:,} acknowledged"
    extra = arrived - acknowledged
    # Flume's channel writes in transactions, whose markers take offsets too: only a lower bound holds for it.
    note = "all arrived" if extra <= under_way else f"all arrived, and {extra:,} offsets more"
    last = runs[-1]
    return f"p50 {last.p50_ms:.1f} ms, p99 {last.p99_ms:.1f} ms, {last.refused} refused, {note}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOCALHOST, port)) == 0
