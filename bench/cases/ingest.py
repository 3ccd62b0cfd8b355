"""HTTP posts, each answered after `acks=all`; beside it Flume's HTTP source into its Kafka channel. wrk is the load."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bench.measure import Program, usage
from bench.peers import flume
from bench.result import Kind, Result
from bench.services import PARTITIONS, RAW_LOG, Services, running
from bench.wrk import Said, load_http
from deploy.cluster.process import LOCALHOST, free_port
from tests.support.kafka import LiveKafka
from tests.support.worker import Worker

FLUME_TOPIC = "flume-channel"


class Load(NamedTuple):
    """What clients do: so many connections, each with a post under way all the time; what is warm is measured."""

    connections: int
    events: int  # a post
    seconds: float
    warm_s: float

    def __str__(self) -> str:
        return f"{self.events} event{'s' if self.events > 1 else ''} a post, {self.connections:,} connections"


def ingest(services: Services, loads: Sequence[Load], processes: Sequence[int]) -> Iterator[Result]:
    """Each load against Sluice with so many processes, then against Flume, which is a single one."""
    for load in loads:
        for count in processes:
            yield _sluice(services, load, count)
        yield _flume(services, load)


def _sluice(services: Services, load: Load, count: int) -> Result:
    services.empty()
    directory = services.new_directory("ingest")
    workers = [
        Worker(directory / f"worker-{n}", broker=services.broker.url, roles="ingest", app_id=directory.name)
        for n in range(count)
    ]
    who = "Sluice" if count == 1 else f"Sluice, {count} processes"
    with contextlib.ExitStack() as stack:
        for worker in workers:
            stack.enter_context(running(worker))
        urls = [f"{worker.url}/logCollect2" for worker in workers]
        return _measured(services.broker, RAW_LOG, load, "sluice", who, workers, urls)


def _flume(services: Services, load: Load) -> Result:
    services.empty()
    services.broker.create_topic(FLUME_TOPIC, PARTITIONS)
    port = free_port()
    agent = flume.http_source(services.new_directory("flume"), services.broker.bootstrap, FLUME_TOPIC, port)
    with running(agent):
        return _measured(services.broker, FLUME_TOPIC, load, "peer", "Flume", [agent], [f"http://{LOCALHOST}:{port}/"])


def _measured(
    broker: LiveKafka, topic: str, load: Load, kind: Kind, who: str, programs: Sequence[Program], urls: list[str]
) -> Result:
    warm = load_http(urls, load.connections, load.events, load.warm_s)
    before = usage(programs)
    said = load_http(urls, load.connections, load.events, load.seconds)
    after = usage(programs)
    return Result(
        "ingest",
        str(load),
        kind,
        who,
        said.per_s * load.events,
        "events/s",
        (after.cpu_s - before.cpu_s) / (said.posts * load.events) * 1e6,
        after.peak_mb,
        _checked(broker, topic, load, warm, said),
        said.p50_ms,
        said.p99_ms,
    )


def _checked(broker: LiveKafka, topic: str, load: Load, *runs: Said) -> str:
    """All that was acknowledged has arrived; what was refused, as nobody knew, or under way when wrk stopped may have
    arrived too, and no more."""
    acknowledged = sum(run.posts for run in runs) * load.events
    under_way = sum(load.connections + run.refused for run in runs) * load.events
    arrived = sum(broker.end_offsets(topic).values())
    assert acknowledged <= arrived <= acknowledged + under_way, f"{arrived:,} arrived, {acknowledged:,} acknowledged"
    return f"{arrived:,} arrived, {acknowledged:,} of them acknowledged; {runs[-1].refused} posts refused"
