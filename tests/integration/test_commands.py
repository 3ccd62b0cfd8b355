"""The shell against a real worker on a real Kafka."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster.process import LOCALHOST, free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

COMMANDS = ["status", "lag", "verify", "dead-letters", "replay"]
HOSTILE = "\x1b[31mred\x07 \u202egnp.exe <script>"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file://{tmp_path_factory.mktemp('history')}"


@pytest.fixture(scope="module")
def shell(fresh_kafka: LiveKafka, history: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell"), broker=fresh_kafka.url, settings={"SLUICE_HISTORY": history})


@pytest.fixture(scope="module")
def served(
    fresh_kafka: LiveKafka, history: str, shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker that has handled ten requests and a line that is none."""
    before = {command: shell(command).status for command in ("status", "lag", "dead-letters")}
    assert before == {"status": 1, "lag": 1, "dead-letters": 0}  # nothing was ever started here
    workers = Workers(tmp_path_factory.mktemp("workers"))
    try:
        worker = workers(
            broker=fresh_kafka.url, history=history, settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 1}, roles=None
        )
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        lines = [f'10.0.0.1 - - [{stamp}] "GET / HTTP/1.1" 200 1'] * 10 + [HOSTILE]
        headers = {"type": "access_log", "host": "web-1"}
        events = [{"headers": headers, "body": line} for line in lines]
        assert worker.post("/logCollect2", json.dumps(events), "application/json").status_code == 200
        for group in ("sluice-monitor", "sluice-history"):
            wait_until(lambda group=group: fresh_kafka.lag(group, "raw-log") == 0, 30, f"{group} to be done")
        yield worker
    finally:
        workers.kill()


@pytest.mark.parametrize("command", COMMANDS)
def test_help(shell: Shell, command: str) -> None:
    said = shell(command, "--help")

    assert said.status == 0
    assert "--json" in said.out
    assert "Exit status: 0" in said.out


@pytest.mark.parametrize(
    "command", [["status"], ["lag"], ["verify"], ["dead-letters"], ["replay", "--group", "monitor"]], ids=lambda c: c[0]
)
def test_no_broker_is_one_clear_line(tmp_path: Path, command: list[str]) -> None:
    address = f"{LOCALHOST}:{free_port()}"

    said = Shell(tmp_path, broker=f"kafka://{address}")(*command)

    assert said.status == 3
    assert said.out == ""
    assert said.err.startswith(f"Kafka at {address} is not available")
    assert said.err.count("\n") == 1
    assert said.took_s < 30, "not after the 40 s of the Kafka client"


def test_status_of_a_deployment_that_is_well(served: Worker, shell: Shell) -> None:
    said = wait_until(lambda: [said for said in [shell("status")] if said.status == 0], 20, "all to be well")[0]

    assert "All is well." in said.out
    lines = [line.split() for line in said.out.splitlines()]
    assert ["sluice-monitor", "raw-log", "4", "0"] in lines
    assert any(line[:3] == ["history", "destination", "running"] for line in lines)


def test_status_for_programs(served: Worker, shell: Shell) -> None:
    said = shell("status", "--json")

    assert said.json["status"] == "ok"
    (worker,) = said.json["workers"]
    assert (worker["alive"], worker["ready"], worker["pid"]) == (True, True, served.pid)
    assert {flow["name"] for flow in said.json["destinations"]} >= {"history"}
    assert set(said.json["groups"]) == {"sluice-monitor", "sluice-history"}


def test_lag(served: Worker, shell: Shell) -> None:
    said = shell("lag")

    assert said.status == 0
    assert ["sluice-history", "raw-log", "all", "-", "-", "0"] in [line.split() for line in said.out.splitlines()]
    groups = shell("--json", "lag").json["groups"]
    assert sum(at["committed"] or 0 for at in groups["sluice-monitor"]["raw-log"].values()) == 11


def test_dead_letters_do_nothing_to_the_terminal(served: Worker, shell: Shell) -> None:
    said = shell("dead-letters", "-n", "5")

    assert said.status == 0
    assert r"\x1b[31mred\x07 \u202egnp.exe <script>" in said.out
    assert said.out.replace("\n", "").isprintable()
    (letter,) = shell("dead-letters", "--json").json
    assert letter["body"] == HOSTILE


@pytest.mark.parametrize("n", ["0", "1001", "x"])
def test_a_bad_number_is_wrong_usage(shell: Shell, n: str) -> None:
    assert shell("dead-letters", "-n", n).status == 2


@pytest.mark.parametrize("options", [[], ["--deep"]])
def test_verify_of_a_history_that_is_whole(served: Worker, shell: Shell, options: list[str]) -> None:
    said = shell("verify", *options)

    assert (said.status, said.err) == (0, "")
    assert "11 records, every offset once" in said.out
    found = shell("verify", "--json", *options).json
    assert found["well"]
    assert sum(part["rows"] for part in found["partitions"]) == 11


def test_verify_tells_a_file_that_is_gone_and_one_that_changed(
    served: Worker, shell: Shell, history: str, tmp_path: Path
) -> None:
    file = next(Path(history.removeprefix("file://")).rglob("data/**/*.gz"))
    file.rename(tmp_path / "away")
    try:
        gone = shell("verify")
        assert gone.status == 1
        assert f"missing: {file.relative_to(history.removeprefix('file://'))}" in gone.out

        content = (tmp_path / "away").read_bytes()
        file.write_bytes(bytes([*content[:-1], content[-1] ^ 1]))
        assert shell("verify").status == 0
        deep = shell("verify", "--deep")
        assert (deep.status, str(file.relative_to(history.removeprefix("file://"))) in deep.out) == (1, True)
    finally:
        (tmp_path / "away").rename(file)


# Last: it takes the worker away.
def test_a_dead_worker_is_a_problem(served: Worker, shell: Shell, fresh_kafka: LiveKafka) -> None:
    served.kill()
    said = wait_until(lambda: [said for said in [shell("status")] if said.status == 1], 30, "status to notice")[0]
    assert "no worker is running: start one with `faust -A app worker`" in said.out

    fresh_kafka.produce("raw-log", [b"x"] * 5, partition=0)
    idle = "group sluice-monitor has records to read and no member"  # each group notices at a time of its own
    behind = wait_until(lambda: [said for said in [shell("lag")] if idle in said.err], 60, "the group to be empty")[0]
    assert behind.status == 1
