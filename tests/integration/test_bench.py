"""Each benchmark case runs with its peers and counts what arrived; how fast it was is not judged here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.cases import CASES
from bench.result import HEADER, rows
from bench.services import Services
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

PROGRAMS = {
    "ingest": {"Sluice, 2 processes", "Flume"},
    "history": {"Sluice, jsonl gzip", "Sluice, text gzip", "Flume, text"},
    "monitor": {"Sluice", "Kafka Streams", "stock Faust"},
    "business": {"Sluice", "Kafka Streams", "stock Faust"},
    "everything": {"Sluice, all roles in one worker"},
    "latency": {"Sluice"},
    "scaling": {"Sluice"},
    "backlog": {"Sluice"},
    "limits": {
        "bare aiohttp",
        "aiokafka's getmany",
        "bare getmany",
        "bare parser",
        "bare JSON parser",
        "bare gzip of jsonl",
        "bare gzip of text",
        "bare upload of jsonl",
    },
}


@pytest.fixture(scope="module")
def services(fresh_kafka: LiveKafka, hdfs: LiveHdfs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("bench"), broker=fresh_kafka, hdfs=hdfs)
    try:
        yield services
    finally:
        services.close()


def test_every_case_is_tried_here() -> None:
    assert list(PROGRAMS) == list(CASES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_case_runs_and_counts_what_arrived(services: Services, name: str) -> None:
    """A case fails by itself where something is missing or twice."""
    results = list(CASES[name].short(services))
    assert {result.who for result in results} == PROGRAMS[name]
    for result in results:
        assert result.per_s > 0, result
        assert result.cpu_us >= 0, result  # counted in ticks of 10 ms: a short case may be over within one
        assert result.kind == "limit" or result.peak_mb > 10, result
    assert any(result.cpu_us > 0 for result in results)
    table = rows(results)
    assert len(table) == len(HEADER) + sum(result.kind == "sluice" for result in results)
