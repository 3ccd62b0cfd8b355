"""A real Flume 1.11 agent delivers into Sluice through its own sinks, and loses nothing when Kafka is away."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.cluster.process import free_port
from tests.support.flume import APPENDER, WAYS, Agent, routes
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
# Longer than a batch of Flume's, with bytes that are no line of anything.
LINES = [b"%06d " % number + b"\xc3\xa4 <b>\x1b[31m \xe2\x82\xac" * (number % 5) for number in range(1_050)]


@pytest.fixture(scope="module")
def ports() -> dict[str, int]:
    return {name: free_port() for name in (*WAYS, APPENDER)}


@pytest.fixture(scope="module")
def collector(
    fresh_kafka: LiveKafka, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker that only collects."""
    directory = tmp_path_factory.mktemp("collector")
    path = directory / "routes.toml"
    path.write_text(routes(ports))
    workers = Workers(directory)
    try:
        yield workers(broker=fresh_kafka.url, roles="ingest", settings={"SLUICE_ROUTES": path})
    finally:
        workers.kill()


@pytest.fixture(scope="module")
def agent(collector: Worker, ports: dict[str, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    agent = Agent(tmp_path_factory.mktemp("flume"), ports)
    try:
        agent.start()
        yield agent
    finally:
        agent.service.kill()


def by_way(kafka: LiveKafka) -> dict[str, list[bytes]]:
    """What raw-log holds, by the header `via`; all have one host, hence one partition and their order."""
    bodies: dict[str, list[bytes]] = defaultdict(list)
    for record in kafka.consume("raw-log"):
        assert record.key == b"flume"
        bodies[dict(record.headers)["via"].decode()].append(record.value)
    return bodies


def flows_of(collector: Worker) -> dict[str, dict[str, Any]]:
    """What the worker says of each of its sources."""
    return {flow["name"]: flow for flow in collector.get_json("/api/flows")["sources"]}


def test_each_sink_delivers_every_line_once_in_order(fresh_kafka: LiveKafka, collector: Worker, agent: Agent) -> None:
    agent.send("first.txt", LINES)

    def delivered() -> bool:
        bodies = by_way(fresh_kafka)
        return all(len(bodies[way]) >= len(LINES) for way in WAYS)

    wait_until(delivered, PATIENCE_S, "the lines of all sinks in raw-log")
    bodies = by_way(fresh_kafka)
    for way in WAYS:
        assert bodies[way] == LINES, way

    def counted() -> bool:
        """They are told some seconds later, and may be told while a batch is on its way."""
        for flow in (flows_of(collector)[way] for way in WAYS):
            assert flow["sent"] == flow["accepted"] == len(LINES)
            assert flow["received"] == flow["sent"] + sum(flow["rejected"].values())  # busy broker: FAILED, sent again
        return True

    wait_until(counted, PATIENCE_S, "the counts of all sinks", retry_on=AssertionError)


def test_log4js_flume_appender_delivers(fresh_kafka: LiveKafka, agent: Agent) -> None:
    agent.service.metrics()
    assert len(agent.logged()) > 1
    wait_until(
        lambda: sorted(by_way(fresh_kafka)[APPENDER]) == sorted(line.encode() for line in agent.logged()),
        PATIENCE_S,
        "what the agent's log has in raw-log",
    )


def test_nothing_is_lost_while_the_broker_is_dead(fresh_kafka: LiveKafka, collector: Worker, agent: Agent) -> None:
    more = [b"again " + line for line in LINES]

    def refused() -> bool:
        flows = flows_of(collector)
        return all(flows[way]["rejected"].get("broker_unavailable") for way in WAYS)

    fresh_kafka.service.kill()
    try:
        agent.send("second.txt", more)
        wait_until(refused, PATIENCE_S, "a batch of each sink to be answered FAILED")
    finally:
        fresh_kafka.service.start()

    def delivered() -> bool:
        bodies = by_way(fresh_kafka)
        return all(set(bodies[way]) >= set(more) for way in WAYS)

    wait_until(delivered, PATIENCE_S, "all lines of all sinks in raw-log", retry_on=Exception)
    bodies = by_way(fresh_kafka)
    for way in WAYS:
        assert bodies[way][: len(LINES)] == LINES
        again = bodies[way][len(LINES) :]
        assert list(dict.fromkeys(again)) == more  # in order but for what was sent again, in whole batches
