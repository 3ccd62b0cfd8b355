"""Replay on a real Kafka: the same numbers again, and the same history in another root."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

REQUESTS = 300
SMALL_ROLLS = {"SLUICE_HISTORY_ROLL_BYTES": 1}  # every batch a roll


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"file://{tmp_path_factory.mktemp('history')}"


@pytest.fixture(scope="module")
def shell(fresh_kafka: LiveKafka, history: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell"), broker=fresh_kafka.url, settings={"SLUICE_HISTORY": history})


@pytest.fixture(scope="module")
def served(fresh_kafka: LiveKafka, history: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that has handled REQUESTS requests of the last minutes, from several hosts."""
    workers = Workers(tmp_path_factory.mktemp("workers"))
    try:
        worker = workers(broker=fresh_kafka.url, history=history)
        now_s = int(time.time())
        events = []
        for i in range(REQUESTS):
            stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now_s - i))
            body = f'10.0.0.1 - - [{stamp}] "GET /{i % 7} HTTP/1.1" {200 + i % 3 * 100} {i}'
            events.append({"headers": {"type": "access_log", "service": "shop", "host": f"web-{i % 9}"}, "body": body})
        assert worker.post("/logCollect2", json.dumps(events), "application/json").status_code == 200
        caught_up(worker, fresh_kafka)
        yield worker
    finally:
        workers.kill()


def windows(worker: Worker) -> Any:
    return worker.get_json("/api/access")["windows"]


def a_moment(process: subprocess.Popen[bytes]) -> bool:
    """Let it run for so long, and no longer however busy the machine is: it would have ended before anybody looks."""
    process.send_signal(signal.SIGCONT)
    time.sleep(0.005)
    process.send_signal(signal.SIGSTOP)
    return True


def interrupted(shell: Shell, command: list[str], root: Path) -> tuple[int, bytes]:
    """The status and what was said of a command that gets a SIGINT once it has written a roll of partition 0."""
    running = shell.start(*command)
    wait_until(
        # Only below data/, where nothing vanishes: what is sent a signal may do one thing more.
        lambda: a_moment(running) and any((root / "data").rglob("*+0+*.gz")),
        60,
        "the first roll of the full partition",
    )
    running.send_signal(signal.SIGINT)
    running.send_signal(signal.SIGCONT)
    _, err = running.communicate(timeout=120)
    return running.returncode, err


def caught_up(worker: Worker, kafka: LiveKafka) -> None:
    wait_until(lambda: kafka.lag("sluice-monitor", "raw-log") == 0, 30, "the monitor to be done")
    wait_until(lambda: sum(w["requests"] for w in windows(worker)) >= REQUESTS, 30, "the windows to be rebuilt")


def rows(root: Path) -> list[tuple[int, int]]:
    found = []
    for file in (root / "data").rglob("*.gz"):
        content = gzip.decompress(file.read_bytes())
        found += [(row["partition"], row["offset"]) for row in map(json.loads, content.splitlines())]
    return sorted(found)


def test_refused_while_the_group_is_running(served: Worker, shell: Shell, fresh_kafka: LiveKafka) -> None:
    before = fresh_kafka.group_offsets("sluice-monitor", "raw-log")

    said = shell("replay", "--group", "monitor")

    assert said.status == 1
    assert said.err.startswith("group sluice-monitor is running (")
    assert fresh_kafka.group_offsets("sluice-monitor", "raw-log") == before


def test_windows_come_out_the_same_and_nothing_is_forwarded_twice(
    served: Worker, shell: Shell, fresh_kafka: LiveKafka
) -> None:
    before = windows(served)
    forwarded = len(fresh_kafka.consume("access-log"))
    served.stop()
    offsets = fresh_kafka.group_offsets("sluice-monitor", "raw-log")

    dry = shell("replay", "--group", "monitor", "--dry-run")
    assert (dry.status, fresh_kafka.group_offsets("sluice-monitor", "raw-log")) == (0, offsets)
    assert "This was a dry run" in dry.out
    said = shell("replay", "--group", "monitor", "--from", "earliest", "--json")
    assert said.status == 0
    assert sum(part["to_read"] for part in said.json["partitions"].values()) == REQUESTS
    assert set(fresh_kafka.group_offsets("sluice-monitor", "raw-log").values()) == {0}

    served.start()
    caught_up(served, fresh_kafka)
    assert windows(served) == before
    assert len(fresh_kafka.consume("access-log")) == forwarded == REQUESTS


def test_forwards_again_when_asked_to(served: Worker, shell: Shell, fresh_kafka: LiveKafka) -> None:
    before = windows(served)
    forwarded = len(fresh_kafka.consume("access-log"))
    served.stop()

    assert shell("replay", "--group", "sluice-monitor", "--forward").status == 0

    served.start()
    caught_up(served, fresh_kafka)
    wait_until(lambda: len(fresh_kafka.consume("access-log")) == forwarded + REQUESTS, 30, "every record again")
    assert windows(served) == before


def test_one_partition_from_an_offset(served: Worker, shell: Shell, fresh_kafka: LiveKafka) -> None:
    before = windows(served)
    served.stop()
    offsets = fresh_kafka.group_offsets("sluice-monitor", "raw-log")
    partition, end = max(offsets.items(), key=lambda item: item[1])

    said = shell("replay", "--group", "monitor", "--from", f"{partition}:{end - 5}")

    assert said.status == 0
    assert fresh_kafka.group_offsets("sluice-monitor", "raw-log") == {**offsets, partition: end - 5}
    beyond = shell("replay", "--group", "monitor", "--from", str(end + 100), "--json")
    assert not any(part["changed"] for part in beyond.json["partitions"].values())
    served.start()
    caught_up(served, fresh_kafka)
    assert windows(served) == before


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--group", "nobody"],
        ["--group", "monitor", "--from", "yesterday"],
        ["--group", "monitor", "--into", "file:///tmp/x"],
        ["--group", "history"],
        ["--group", "history", "--into", "nowhere"],
        ["--group", "history", "--into", "file:///tmp/x", "--forward"],
    ],
)
def test_wrong_usage(shell: Shell, options: list[str]) -> None:
    said = shell("replay", *options)

    assert said.status == 2
    assert "Traceback" not in said.err


def test_a_partition_that_there_is_not(served: Worker, shell: Shell, tmp_path: Path) -> None:
    said = shell("replay", "--group", "history", "--into", f"file://{tmp_path}/x", "--partition", "99")

    assert (said.status, said.err) == (2, "partition 99: raw-log has partitions 0 to 3\n")


def test_history_into_another_root(served: Worker, shell: Shell, tmp_path: Path) -> None:
    into = f"file://{tmp_path}/again"

    assert shell("replay", "--group", "history", "--into", into, "--dry-run").status == 0
    assert not (tmp_path / "again").exists()
    said = shell("replay", "--group", "history", "--into", into, "--json")

    assert said.status == 0
    assert sum(part["records"] for part in said.json["partitions"].values()) == REQUESTS
    written = rows(tmp_path / "again")
    assert len(written) == len(set(written)) == REQUESTS
    again = shell("replay", "--group", "history", "--into", into, "--json")
    assert (again.status, again.json["continued"]) == (0, True)
    assert rows(tmp_path / "again") == written
    other = shell("replay", "--group", "history", "--into", into, "--from", "5")
    assert other.status == 1
    assert "holds another replay" in other.err


def test_never_into_the_history_itself(served: Worker, shell: Shell, history: str) -> None:
    for root in (history, f"{history}/inner"):
        said = shell("replay", "--group", "history", "--into", root)
        assert said.status == 1
        assert "must not lie within one another" in said.err


def test_a_part_of_the_history(served: Worker, shell: Shell, fresh_kafka: LiveKafka, tmp_path: Path) -> None:
    ends = fresh_kafka.end_offsets("raw-log")
    partition = max(ends, key=lambda p: ends[p])
    options = ["--partition", str(partition), "--from", "3", "--to", "9"]

    assert shell("replay", "--group", "history", "--into", f"file://{tmp_path}/part", *options).status == 0

    assert rows(tmp_path / "part") == [(partition, offset) for offset in range(3, 9)]


# Last: it fills the topic.
def test_interrupted_it_goes_on_where_it_was(
    served: Worker, fresh_kafka: LiveKafka, tmp_path: Path, history: str
) -> None:
    served.stop()
    fresh_kafka.produce("raw-log", [b"line %d " % i + b"x" * 2000 for i in range(40_000)], partition=0)
    total = sum(fresh_kafka.end_offsets("raw-log").values())
    shell = Shell(tmp_path / "shell", broker=fresh_kafka.url, settings={"SLUICE_HISTORY": history, **SMALL_ROLLS})
    root = tmp_path / "root"
    command = ["replay", "--group", "history", "--into", f"file://{root}"]

    status, err = interrupted(shell, command, root)

    assert status == 130
    assert b"interrupted: run the same command again to go on" in err
    assert b"Traceback" not in err
    first = rows(root)
    assert 0 < len(first) < total

    said = shell(*command, "--json")

    assert (said.status, said.json["continued"]) == (0, True)
    written = rows(root)
    assert len(written) == len(set(written)) == total
    # Committed and not yet at their place when it was interrupted: those are not written again either.
    assert len(first) <= total - sum(part["records"] for part in said.json["partitions"].values()) < total
