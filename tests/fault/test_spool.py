"""The spool of a real worker at its limits: full, on a full disk, stopped and started; and an address that is taken."""

from __future__ import annotations

import base64
import json
import random
import socket
from pathlib import Path

import pytest

from deploy.cluster.kafka import Kafka
from deploy.cluster.process import LOCALHOST, free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
BODY_BYTES = 200_000  # of random letters, which RocksDB can't compress to nothing
MANY = 1000  # posts of that size: more than any limit here holds


def post(to: Worker, number: int) -> int:
    """Post one event; the status."""
    noise = base64.b64encode(random.Random(number).randbytes(BODY_BYTES * 3 // 4)).decode()
    events = [{"headers": {"host": "web-1"}, "body": f"{number} {noise}"}]
    return to.post("/logCollect2", json.dumps(events), "application/json").status_code


def posted_until_full(to: Worker) -> int:
    """Post until it is refused; how many were taken."""
    for number in range(MANY):
        status = post(to, number)
        if status != 200:
            assert status == 503
            return number
    raise AssertionError("the spool never got full")


def numbers(kafka: LiveKafka) -> list[int]:
    """What has arrived, each once, in its order."""
    return list(dict.fromkeys(int(record.value.split()[0]) for record in kafka.consume("raw-log")))


def in_spool(of: Worker) -> int:
    (http,) = [each for each in of.get_json("/api/flows")["sources"] if each["name"] == "http"]
    return int(http["in_spool"])


def test_a_full_spool_refuses_survives_sigterm_and_is_delivered(worker: Workers, tmp_path: Path) -> None:
    live = LiveKafka(Kafka(tmp_path / "kafka"))
    settings = {"SLUICE_RELIABILITY": "store-on-failure", "SLUICE_SPOOL_MAX_BYTES": 2 << 20}
    first = worker(broker=live.url, roles="ingest", settings=settings, ready=False)
    try:
        wait_until(lambda: first.get("/health").status_code == 200, PATIENCE_S, "the web", retry_on=OSError)
        taken = posted_until_full(first)
        assert 8 < taken < 12  # 2 MiB of 200,000 bytes
        too_large = json.dumps([{"body": "x" * 2_000_000}])
        assert first.post("/logCollect2", too_large, "application/json").status_code == 413
        assert [post(first, MANY) for _ in range(5)] == [503] * 5
        assert first.log.count("refuses events until there is room") == 1
        first.stop()
        first.start(ready=False)
        wait_until(
            lambda: in_spool(first) == taken, PATIENCE_S, "the spool to be found", retry_on=(OSError, ValueError)
        )
        assert post(first, MANY) == 503
        live.service.start()
        wait_until(lambda: in_spool(first) == 0, PATIENCE_S, "the spool to be delivered")
        assert numbers(live) == list(range(taken))
        assert post(first, taken) == 200  # by Kafka, or once more by the spool
        wait_until(lambda: numbers(live) == list(range(taken + 1)), PATIENCE_S, "the next event")
        first.stop()
    finally:
        live.service.kill()


def test_a_full_disk_is_a_full_spool(fresh_kafka: LiveKafka, worker: Workers, small_disk: Path) -> None:
    settings = {"SLUICE_RELIABILITY": "store-on-failure", "SLUICE_DATA_DIR": small_disk / "data"}
    first = worker(broker=fresh_kafka.url, roles="ingest", settings=settings)
    fresh_kafka.service.kill()
    taken = posted_until_full(first)
    assert 20 < taken < MANY
    assert post(first, MANY) == 503
    assert "the disk takes nothing" in first.log
    assert first.log.count("refuses events until there is room") == 1
    fresh_kafka.service.start()
    wait_until(lambda: in_spool(first) == 0, PATIENCE_S, "the spool to be delivered")
    arrived = numbers(fresh_kafka)
    assert arrived[:taken] == list(range(taken))
    wait_until(lambda: post(first, MANY + 1) == 200, PATIENCE_S, "events to be taken again")
    wait_until(lambda: numbers(fresh_kafka)[-1] == MANY + 1, PATIENCE_S, "the next event")
    first.stop()


def test_an_address_that_is_taken_stops_the_start(worker: Workers, tmp_path: Path) -> None:
    with socket.create_server((LOCALHOST, 0)) as other:
        address = f"tcp://{LOCALHOST}:{other.getsockname()[1]}"
        routes = tmp_path / "routes.toml"
        routes.write_text(f'[[source]]\nname = "flume"\nkind = "thrift"\nlisten = ["{address}"]\n')
        refused = worker(
            broker=f"kafka://{LOCALHOST}:{free_port()}", roles="ingest", settings={"SLUICE_ROUTES": routes}, ready=False
        )
        assert refused.wait_ended(PATIENCE_S) != 0
        (said,) = [line for line in refused.log.splitlines() if address in line]
        assert "Address already in use" in said
        assert "Traceback" not in refused.log
