"""The Procfile under honcho: two ingest processes, one that monitors and one that writes the history."""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path

import pytest
import requests

from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port
from tests.support.kafka import LiveKafka
from tests.support.load import access_line, posted
from tests.support.oracle import Oracle, local_records
from tests.support.polling import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
NAMES = ("INGEST1_PORT", "INGEST2_PORT", "MONITOR_PORT", "HISTORY_PORT")


def get(port: int, path: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"http://{LOCALHOST}:{port}{path}", timeout=30)


def test_four_processes_do_one_job(fresh_kafka: LiveKafka, tmp_path: Path) -> None:
    ports = {name: free_port() for name in NAMES}
    history = tmp_path / "history"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
        **{name: str(port) for name, port in ports.items()},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SLUICE_BROKER": fresh_kafka.url,
        "SLUICE_HISTORY": f"file://{history}",
        "SLUICE_HISTORY_ROLL_INTERVAL_S": "1",
    }
    honcho = ServiceProcess(
        "honcho",
        [sys.executable, "-m", "honcho", "-f", str(ROOT / "Procfile"), "-d", str(tmp_path), "start"],
        tmp_path / "honcho.log",
        cwd=tmp_path,
        environment=environment,
    )
    honcho.start()
    try:
        for port in ports.values():
            wait_until(
                lambda port=port: get(port, "/ready").status_code == 200, 90, "/ready of each process", retry_on=OSError
            )
        rng = random.Random(1)
        for number in range(100):
            url = f"http://{LOCALHOST}:{ports[NAMES[number % 2]]}"
            line = access_line(str(number), rng, time.time())
            headers = {"type": "access_log", "host": f"web-{number % 5}"}
            assert posted(url, [{"headers": headers, "body": line}]) == 200
        for name in NAMES:  # any worker answers for the whole cluster
            wait_until(lambda name=name: _requests(ports[name]) == 100, 30, f"all requests to be told by {name}")
        wait_until(
            lambda: _destinations(ports["INGEST1_PORT"]) == {"raw-log", "history"}, 30, "reports of the other workers"
        )
        # honcho kills what has not ended 5 s after its SIGTERM: what is only read by then, the next start would write.
        wait_until(lambda: fresh_kafka.lag("sluice-history", "raw-log") == 0, 30, "the history to be written")
    finally:
        honcho.stop(40)
    Oracle(fresh_kafka).history_has_each_record_once(local_records(history))


def _destinations(port: int) -> set[str]:
    return {each["name"] for each in get(port, "/api/flows").json()["destinations"]}


def _requests(port: int) -> int:
    return sum(window["requests"] for window in get(port, "/api/access").json()["windows"])
