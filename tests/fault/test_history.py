"""HDFS goes, sleeps, stalls and comes back, workers die between rolls: each record is in exactly one committed file."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hdfs import LiveHdfs
from tests.support.history_run import (
    HISTORY,
    MONITOR,
    PATIENCE_S,
    access_lines,
    backing_off,
    destination_of,
    ends,
    judged,
    reached,
    requests_counted,
    settings,
    shell,
)
from tests.support.history_watch import HistoryWatch
from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import hdfs_records
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

AN_HOUR_S = 3600


@pytest.fixture(autouse=True)
def empty_topics(fresh_kafka: LiveKafka) -> None:
    """Each test starts with no topics, and so no groups' offsets."""
    fresh_kafka.delete_topics(*fresh_kafka.topics())


@pytest.fixture
def root(fresh_hdfs: LiveHdfs) -> Iterator[str]:
    """A folder of this test's own in an HDFS that runs, and runs again afterwards whatever the test did."""
    yield fresh_hdfs.new_path()
    fresh_hdfs.service.start()


def lag_told(worker: Worker) -> int:
    """How far the worker says that the history is behind."""
    lag = worker.get_json("/api/lag")["groups"][HISTORY]["raw-log"]
    return sum(part["lag"] for part in lag.values())


def test_hdfs_away_leaves_monitoring_alone_and_history_catches_up_by_itself(
    fresh_kafka: LiveKafka, fresh_hdfs: LiveHdfs, root: str, worker: Workers, tmp_path: Path
) -> None:
    history = fresh_hdfs.history_url(root)
    first = worker(broker=fresh_kafka.url, settings=settings(history))
    with HistoryWatch(fresh_hdfs, root) as watch, Load([first.url], pause_s=0.05) as load:
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))
        fresh_hdfs.service.kill()
        away_at = time.monotonic()
        destination = wait_until(lambda: backing_off(first), PATIENCE_S, "history to back off")
        assert "WebHdfsStorage" in destination["last_error"]
        # Offsets follow once a second what is written: those of the last rolls, too, are there by then.
        time.sleep(max(0.0, away_at + 6 - time.monotonic()))
        stuck_at = fresh_kafka.group_offsets(HISTORY, "raw-log")
        while time.monotonic() < away_at + 20:
            end, acknowledged = ends(fresh_kafka), access_lines(load)
            reached(fresh_kafka, MONITOR, end)
            wait_until(lambda n=acknowledged: requests_counted(first) >= n, PATIENCE_S, "windows to be current")
            assert first.get("/health").status_code == 200
            # A load balancer must not take the sources away because a destination is away.
            wait_until(lambda: first.get("/ready").status_code == 200, PATIENCE_S, "the worker to be ready")
        assert fresh_kafka.group_offsets(HISTORY, "raw-log") == stuck_at
        wait_until(lambda: fresh_kafka.lag(HISTORY, "raw-log") > 1000, PATIENCE_S, "a lag")
        wait_until(lambda: lag_told(first) > 1000, PATIENCE_S, "the worker to tell of it")
        status = shell(fresh_kafka, history, tmp_path)

        def told() -> bool:  # of the worker's last report: at that moment it may just have tried again
            said = status("status", "--json")
            assert (said.status, said.json["status"]) == (1, "problems")
            return any(problem.startswith("destination history is backing off: ") for problem in said.json["problems"])

        wait_until(told, PATIENCE_S, "the status to say that history is backing off", retry_on=AssertionError)
        verify = shell(fresh_kafka, history, tmp_path)("verify")
        assert (verify.status, verify.out, verify.err.count("\n")) == (1, "", 1)

        fresh_hdfs.service.start()
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))
        wait_until(lambda: backing_off(first) is None, PATIENCE_S, "history to say that it is well")
        load.stop()
        judged(fresh_kafka, fresh_hdfs, history, root, load, first, tmp_path)
        watch.judge()
    assert shell(fresh_kafka, history, tmp_path)("status").status == 0
    first.stop()


def test_namenode_and_datanode_come_and_go_during_commits(
    fresh_kafka: LiveKafka, fresh_hdfs: LiveHdfs, root: str, worker: Workers, tmp_path: Path
) -> None:
    history = fresh_hdfs.history_url(root)
    first = worker(broker=fresh_kafka.url, settings=settings(history))
    service = fresh_hdfs.service
    with HistoryWatch(fresh_hdfs, root) as watch, Load([first.url], pause_s=0.05) as load:
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))

        service.restart_namenode()
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))

        service.set_safe_mode(True)
        wait_until(
            lambda: "SafeModeException" in str((backing_off(first) or {}).get("last_error")),
            PATIENCE_S,
            "history to back off, as HDFS is in safe mode",
        )
        service.set_safe_mode(False)
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))

        service.kill_datanode()
        wait_until(lambda: backing_off(first), PATIENCE_S, "history to back off")
        service.start_datanode()
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))
        load.stop()
        judged(fresh_kafka, fresh_hdfs, history, root, load, first, tmp_path)
        watch.judge()
    first.stop()


def test_a_worker_killed_at_any_moment_leaves_each_record_in_one_file(
    fresh_kafka: LiveKafka,
    fresh_hdfs: LiveHdfs,
    worker: Workers,
    tmp_path: Path,
    fault_schedule: Iterator[random.Random],
) -> None:
    for rng in fault_schedule:
        fresh_kafka.delete_topics(*fresh_kafka.topics())
        root = fresh_hdfs.new_path()
        history = fresh_hdfs.history_url(root)
        first = worker(broker=fresh_kafka.url, settings=settings(history))
        with HistoryWatch(fresh_hdfs, root) as watch, Load([first.url], pause_s=0.02) as load:
            for _ in range(3):
                # From ready on: recovery, first rolls and steady rolling are all hit, at any step.
                time.sleep(rng.uniform(0, 3))
                first.kill()
                first.start()
            reached(fresh_kafka, HISTORY, ends(fresh_kafka))
            load.stop()
            judged(fresh_kafka, fresh_hdfs, history, root, load, first, tmp_path)
            watch.judge()
        first.stop()
        fresh_hdfs.client.delete(root, recursive=True)


def test_sigterm_commits_at_once_what_was_read_and_loses_nothing_while_hdfs_is_away(
    fresh_kafka: LiveKafka, fresh_hdfs: LiveHdfs, root: str, worker: Workers, tmp_path: Path
) -> None:
    history = fresh_hdfs.history_url(root)
    first = worker(broker=fresh_kafka.url, settings=settings(history, roll_interval_s=AN_HOUR_S))
    with HistoryWatch(fresh_hdfs, root) as watch, Load([first.url], pause_s=0.05) as load:
        wait_until(lambda: len(load.acknowledged) > 500, PATIENCE_S, "load")
        end = ends(fresh_kafka)
        wait_until(lambda: destination_of(first)["received"] >= sum(end.values()), PATIENCE_S, "history to read it")
        assert fresh_kafka.group_offsets(HISTORY, "raw-log") == {}, "nothing was to be rolled within the hour"
        first.stop()  # asserts exit status 0 within the contract's 30 s; clients go on sending meanwhile
        committed = fresh_kafka.group_offsets(HISTORY, "raw-log")
        assert all(committed[partition] >= offset for partition, offset in end.items())
        assert len(hdfs_records(fresh_hdfs, root)) == sum(committed.values())

        first.start()
        acknowledged = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > acknowledged + 500, PATIENCE_S, "load on the restarted worker")
        before = fresh_kafka.group_offsets(HISTORY, "raw-log")
        fresh_hdfs.service.kill()
        first.stop()
        assert fresh_kafka.group_offsets(HISTORY, "raw-log") == before
        assert fresh_kafka.lag(HISTORY, "raw-log") > 0

        first.start()  # ready without HDFS
        acknowledged = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > acknowledged + 200, PATIENCE_S, "load while HDFS is away")
        fresh_hdfs.service.start()
        load.stop()
        unwritten = fresh_kafka.lag(HISTORY, "raw-log")
        wait_until(lambda: destination_of(first)["received"] >= unwritten, PATIENCE_S, "history to read the rest")
        wait_until(lambda: backing_off(first) is None, PATIENCE_S, "history to say that it is well")
        watch.judge()
    assert fresh_kafka.lag(HISTORY, "raw-log") == unwritten
    first.stop()
    assert fresh_kafka.lag(HISTORY, "raw-log") == 0
    first.start()
    judged(fresh_kafka, fresh_hdfs, history, root, load, first, tmp_path)
    first.stop()


def test_sigterm_while_the_namenode_answers_nothing(
    fresh_kafka: LiveKafka, fresh_hdfs: LiveHdfs, root: str, worker: Workers, tmp_path: Path
) -> None:
    history = fresh_hdfs.history_url(root)
    first = worker(broker=fresh_kafka.url, settings=settings(history))
    with Load([first.url], pause_s=0.05) as load:
        reached(fresh_kafka, HISTORY, ends(fresh_kafka))
        fresh_hdfs.service.pause_namenode()  # the kernel takes connections, nobody answers: calls hang
        try:
            time.sleep(2)  # a roll a second: one hangs by now
            first.stop()
        finally:
            fresh_hdfs.service.cont_namenode()
    first.start()
    judged(fresh_kafka, fresh_hdfs, history, root, load, first, tmp_path)
    first.stop()
