"""Workers that come, go, die and wake up again under load: each record is still counted exactly once."""

from __future__ import annotations

import time

import pytest

from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import Oracle, local_files, local_records
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

GROUPS = ("sluice-monitor", "sluice-history")


@pytest.fixture(autouse=True)
def empty_topics(fresh_kafka: LiveKafka) -> None:
    """Each test starts with no topics, and so no groups' offsets."""
    fresh_kafka.delete_topics(*fresh_kafka.topics())


def caught_up(kafka: LiveKafka, *groups: str) -> None:
    for group in groups or GROUPS:
        wait_until(lambda group=group: kafka.lag(group, "raw-log") == 0, 60, f"{group} to catch up", retry_on=Exception)


def settings(history: str) -> dict[str, object]:
    return {"SLUICE_HISTORY": history, "SLUICE_HISTORY_ROLL_INTERVAL_S": 2, "SLUICE_RETENTION_S": 7200}


def test_workers_share_die_and_are_replaced(fresh_kafka: LiveKafka, worker: Workers, tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "history"
    common = {"broker": fresh_kafka.url, "settings": settings(f"file://{root}")}
    first = worker(**common)
    second = worker(**common)
    with Load([first.url, second.url], pause_s=0.02) as load:
        wait_until(lambda: _owned(first) == _owned(second) == [2, 2], 40, "two partitions a worker in each group")
        third = worker(**common)
        second.kill()
        wait_until(lambda: sum(_owned(first) + _owned(third)) == 8, 40, "the dead worker's partitions to be taken over")
        before = local_files(root)
        time.sleep(3)  # load on the survivors
        third.stop()
        wait_until(lambda: _owned(first) == [4, 4], 40, "the stopped worker's partitions to be taken over")
        second.start()
        wait_until(lambda: sum(_owned(first) + _owned(second)) == 8, 40, "the restarted worker to take its share")
    caught_up(fresh_kafka, "sluice-monitor")
    answers = {each.url: each for each in (first, second)}
    wait_until(lambda: _sums(first) == _sums(second), 20, "both workers to answer the same for the whole cluster")
    oracle = Oracle(fresh_kafka)
    for each in answers.values():
        oracle.windows_are_exact(each.get_json)
    caught_up(fresh_kafka)
    first.stop()
    oracle.judge(load.acknowledged, load.attempted, local_records(root), second.get_json)
    assert len(load.acknowledged) > 200
    now = local_files(root)
    assert {name: now.get(name) for name in before} == before, "a committed file changed or vanished"


def test_a_paused_worker_wakes_up_fenced(fresh_kafka: LiveKafka, worker: Workers, tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "history"
    common = {"broker": fresh_kafka.url, "settings": settings(f"file://{root}")}
    first = worker(**common)
    second = worker(**common)
    with Load([first.url], pause_s=0.02) as load:
        wait_until(lambda: _owned(first) == _owned(second) == [2, 2], 40, "two partitions a worker in each group")
        second.pause()
        wait_until(lambda: _owned(first) == [4, 4], 40, "the paused worker's partitions to be taken over")
        second.cont()
        wait_until(lambda: sum(_owned(first) + _owned(second)) == 8, 60, "the zombie to come back as a member")
        time.sleep(3)  # load on both
    caught_up(fresh_kafka)
    wait_until(lambda: _sums(first) == _sums(second), 20, "both workers to answer the same for the whole cluster")
    Oracle(fresh_kafka).judge(load.acknowledged, load.attempted, local_records(root), second.get_json)


def test_a_worker_killed_again_and_again_counts_each_record_once(
    fresh_kafka: LiveKafka,
    worker: Workers,
    tmp_path,  # type: ignore[no-untyped-def]
) -> None:
    root = tmp_path / "history"
    first = worker(broker=fresh_kafka.url, settings=settings(f"file://{root}"))
    with Load([first.url]) as load:
        for pause_s in (1.0, 0.3, 2.0):
            time.sleep(pause_s)
            first.kill()
            first.start()
    caught_up(fresh_kafka)
    Oracle(fresh_kafka).judge(load.acknowledged, load.attempted, local_records(root), first.get_json)
    first.stop()


def test_the_broker_is_killed_and_comes_back(fresh_kafka: LiveKafka, worker: Workers, tmp_path) -> None:  # type: ignore[no-untyped-def]
    root = tmp_path / "history"
    first = worker(broker=fresh_kafka.url, settings=settings(f"file://{root}"))
    with Load([first.url], pause_s=0.05) as load:
        time.sleep(2)
        fresh_kafka.service.kill()
        wait_until(lambda: first.get("/ready", timeout=10).status_code == 503, 30, "/ready to say that Kafka is away")
        refused = load.refused
        wait_until(lambda: load.refused > refused, 30, "clients to be told 503")
        fresh_kafka.service.start()
        first.wait_ready()
        acknowledged = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > acknowledged + 100, 60, "events to be taken again")
    caught_up(fresh_kafka)
    Oracle(fresh_kafka).judge(load.acknowledged, load.attempted, local_records(root), first.get_json)
    first.stop()


def _owned(worker: Worker) -> list[int]:
    """How many partitions of raw-log the worker has: monitor's, history's."""
    workers = worker.get_json("/api/flows")["workers"]
    own = [each for each in workers if each["pid"] == worker.pid]
    return [len(own[0]["partitions"].get(group, ())) for group in GROUPS] if own else []


def _sums(worker: Worker) -> int:
    return sum(window["requests"] for window in worker.get_json("/api/access")["windows"])
