"""What keeps a worker from starting or working on its own machine: no broker, bad settings, taken ports, full disks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cluster.kafka import Kafka
from deploy.cluster.process import LOCALHOST, free_port
from tests.support.bed import fill
from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import Oracle, local_records
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
EVENTS = json.dumps([{"headers": {"type": "access_log", "host": "web-1"}, "body": "hello"}])


@pytest.fixture
def nowhere() -> str:
    """A broker's address where none is."""
    return f"kafka://{LOCALHOST}:{free_port()}"


# -- no broker


def test_without_a_broker_it_says_so_and_becomes_ready_by_itself(worker: Workers, tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "kafka")
    first = worker(broker=kafka.url, ready=False)
    try:
        wait_until(lambda: answers(first), PATIENCE_S, "the web to be up")
        assert first.get("/health").status_code == 200
        ready = first.get("/ready")
        assert ready.status_code == 503
        assert any("brokers" in reason for reason in ready.json()["reasons"])
        for path in ("/logCollect2", "/ingest"):
            refused = first.post(path, EVENTS, "application/json")
            assert refused.status_code == 503
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.text.count("\n") == 1
        assert first.get("/api/access").status_code in (200, 503)
        assert first.get("/api/lag").status_code == 503
        assert first.get("/").status_code == 200
        wait_until(lambda: "No Kafka broker answers" in first.log, PATIENCE_S, "the log to say so")
        assert first.running

        kafka.start()
        first.wait_ready()
        assert first.post("/logCollect2", EVENTS, "application/json").status_code == 200
        assert "Traceback" not in first.log
        first.stop()
    finally:
        kafka.kill()


def test_sigterm_while_waiting_for_a_broker_ends_it_cleanly(worker: Workers, nowhere: str) -> None:
    first = worker(broker=nowhere, ready=False)
    wait_until(lambda: "No Kafka broker answers" in first.log, PATIENCE_S, "it to wait for a broker")
    first.stop()
    assert "Traceback" not in first.log


def test_sigterm_while_a_broker_is_there_and_says_nothing(worker: Workers, tmp_path: Path) -> None:
    kafka = Kafka(tmp_path / "kafka")
    try:
        kafka.start()
        kafka.pause()
        first = worker(broker=kafka.url, ready=False)
        wait_until(lambda: answers(first), PATIENCE_S, "the web to be up")
        assert first.get("/ready").status_code == 503
        first.stop()
        assert "Traceback" not in first.log
    finally:
        kafka.kill()


# -- bad settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLUICE_WINDOW_S", "ten"),
        ("SLUICE_PARTITIONS", "0"),
        ("SLUICE_ROLES", "ingest,historian"),
        ("SLUICE_HISTORY", "ftp-server/logs"),
        ("SLUICE_HISTORY_COMPRESION", "zstd"),
        ("SLUICE_BROKER", "kafka://a b"),
        ("SLUICE_ROUTES", "/there/is/no/such.toml"),
    ],
)
def test_a_bad_setting_is_named_with_its_value(worker: Workers, nowhere: str, name: str, value: str) -> None:
    first = worker(broker=nowhere, settings={name: value}, ready=False)

    assert first.wait_ended(PATIENCE_S) not in (0, None)
    assert name in first.log
    if name != "SLUICE_HISTORY_COMPRESION":  # of a name that is unknown the value may be a password
        assert value in first.log
    assert "Traceback" not in first.log


def test_a_bad_route_is_named_with_file_line_and_key(worker: Workers, nowhere: str, tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text('[access_log]\npatterns = ["combined"]\n\n[[business]]\nname = "orders"\nformatt = "json"\n')
    first = worker(broker=nowhere, settings={"SLUICE_ROUTES": routes}, ready=False)

    assert first.wait_ended(PATIENCE_S) not in (0, None)
    assert f"{routes}:6" in first.log
    assert "formatt" in first.log
    assert "Traceback" not in first.log


# -- what is in use


def test_a_web_port_that_is_taken_is_one_line(worker: Workers, nowhere: str) -> None:
    first = worker(broker=nowhere, ready=False)
    wait_until(lambda: answers(first), PATIENCE_S, "the web to be up")
    second = worker(broker=nowhere, port=first.port, ready=False)

    assert second.wait_ended(PATIENCE_S) == 1
    said = [line for line in second.log.splitlines() if line.startswith("Sluice cannot run: ")]
    assert len(said) == 1
    assert f"{LOCALHOST}:{first.port}" in said[0]
    assert "Traceback" not in second.log
    assert first.running
    first.stop()


def test_a_data_directory_in_use_is_one_line_and_the_first_worker_goes_on(
    fresh_kafka: LiveKafka, worker: Workers
) -> None:
    first = worker(broker=fresh_kafka.url)
    second = worker(broker=fresh_kafka.url, settings={"SLUICE_DATA_DIR": first.data_dir}, ready=False)

    assert second.wait_ended(PATIENCE_S) == 1
    said = [line for line in second.log.splitlines() if line.startswith("Sluice cannot run: ")]
    assert len(said) == 1
    assert str(first.data_dir) in said[0]
    assert "SLUICE_DATA_DIR" in said[0]
    assert "Traceback" not in second.log
    wait_until(lambda: first.get("/ready").status_code == 200, PATIENCE_S, "the first worker to be ready still")
    assert first.post("/logCollect2", EVENTS, "application/json").status_code == 200
    first.stop()


# -- a full disk


def test_a_full_data_directory_stops_no_answer_and_loses_nothing(
    fresh_kafka: LiveKafka, worker: Workers, small_disk: Path, tmp_path: Path
) -> None:
    fresh_kafka.delete_topics(*fresh_kafka.topics())
    root = tmp_path / "history"
    first = worker(
        broker=fresh_kafka.url,
        settings={
            "SLUICE_DATA_DIR": small_disk / "data",
            "SLUICE_HISTORY": f"file://{root}",
            "SLUICE_HISTORY_ROLL_INTERVAL_S": 2,
            "SLUICE_RETENTION_S": 7200,
        },
    )
    with Load([first.url], pause_s=0.02) as load:
        wait_until(lambda: len(load.acknowledged) > 500, PATIENCE_S, "load")
        filler = small_disk / "filler"
        fill(filler)
        wait_until(lambda: "No space left" in trouble(first), PATIENCE_S, "the worker to say that it cannot write")
        assert first.get("/health").status_code == 200
        acknowledged = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > acknowledged + 500, PATIENCE_S, "posts to be answered all along")
        filler.unlink()
        first.wait_ready()
    for group in ("sluice-monitor", "sluice-history"):
        wait_until(lambda group=group: fresh_kafka.lag(group, "raw-log") == 0, PATIENCE_S, f"{group} to catch up")
    Oracle(fresh_kafka).judge(load.acknowledged, load.attempted, local_records(root), first.get_json)
    assert "Traceback" not in first.log
    first.stop()


def test_a_data_directory_without_room_at_the_start_is_one_line(
    fresh_kafka: LiveKafka, worker: Workers, small_disk: Path
) -> None:
    fill(small_disk / "filler")
    first = worker(broker=fresh_kafka.url, settings={"SLUICE_DATA_DIR": small_disk / "data"}, ready=False)

    assert first.wait_ended(PATIENCE_S) == 1
    said = [line for line in first.log.splitlines() if line.startswith("Sluice cannot run: ")]
    assert len(said) == 1
    assert "No space left" in said[0]
    assert "SLUICE_DATA_DIR" in said[0]
    assert "Traceback" not in first.log

    (small_disk / "filler").unlink()
    first.start()
    first.stop()


def answers(worker: Worker) -> bool:
    """Whether its web does."""
    try:
        return worker.get("/health", timeout=5).status_code == 200
    except OSError:
        return False


def trouble(worker: Worker) -> str:
    """Why it is not ready; empty while it is."""
    ready = worker.get("/ready", timeout=10)
    return "" if ready.status_code == 200 else "; ".join(ready.json()["reasons"])
