"""Records that Kafka dropped before they were read: one partition stops, the others go on, `accept-gap` settles it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from app.brokers import Brokers
from tests.support.kafka import LiveKafka
from tests.support.oracle import local_records
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

MONITOR, HISTORY = "sluice-monitor", "sluice-history"
PATIENCE_S = 90.0
SETTINGS = {"SLUICE_HISTORY_ROLL_INTERVAL_S": 1, "SLUICE_PARTITIONS": 2, "SLUICE_RETENTION_S": 7200}


@pytest.fixture(autouse=True)
def empty_topics(fresh_kafka: LiveKafka) -> None:
    """Each test starts with no topics, and so no groups' offsets."""
    fresh_kafka.delete_topics(*fresh_kafka.topics())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "history"


@pytest.fixture
def shell(fresh_kafka: LiveKafka, root: Path, tmp_path: Path) -> Shell:
    return Shell(tmp_path / "shell", broker=fresh_kafka.url, settings={"SLUICE_HISTORY": f"file://{root}"})


def test_a_gap_stops_one_partition_until_it_is_accepted(
    fresh_kafka: LiveKafka, worker: Workers, shell: Shell, root: Path
) -> None:
    first = worker(broker=fresh_kafka.url, history=f"file://{root}", settings=SETTINGS)
    send(fresh_kafka, 0, 30)
    send(fresh_kafka, 1, 40)
    for group in (MONITOR, HISTORY):
        reached(fresh_kafka, group, {0: 30, 1: 40})
    first.stop()
    assert shell("accept-gap", "--group", "history", "--json").json["partitions"] == {}
    none = shell("accept-gap", "--group", "monitor")
    assert (none.status, none.out) == (0, f"Nothing to accept: Kafka has all that {MONITOR} reads next.\n")

    send(fresh_kafka, 0, 5)
    send(fresh_kafka, 1, 60)
    drop(fresh_kafka, 1, before=75)
    gap = shell("verify")
    assert gap.status == 1
    assert "raw-log[1] gap: 40 to 74: gone from Kafka before they were written" in gap.out
    assert "accept-gap" in gap.out

    first.start(ready=False)
    for group in (MONITOR, HISTORY):
        reached(fresh_kafka, group, {0: 35})
    wait_until(lambda: "failed" in said_by(first, HISTORY), PATIENCE_S, "the partition to stop", retry_on=Exception)
    said = said_by(first, HISTORY)
    assert "raw-log[1] failed: HistoryGap: " in said
    assert "offsets 40 to 74 are gone" in said
    assert "`faust -A app accept-gap --group history`" in said
    wait_until(lambda: "74" in said_by(first, MONITOR), PATIENCE_S, "the monitor's partition to stop, too")
    send(fresh_kafka, 0, 10)  # the other partition goes on
    for group in (MONITOR, HISTORY):
        reached(fresh_kafka, group, {0: 45})
    flow = wait_until(lambda: failed_flow(first, committed=45), PATIENCE_S, "the flow to tell", retry_on=KeyError)
    assert flow["state"] == "failed"
    notes = flow["workers"][0]["notes"]
    assert notes["failed"] == [1]
    assert [notes["partitions"][p]["state"] for p in ("0", "1")] == ["running", "failed"]
    assert "offsets 40 to 74 are gone" in notes["partitions"]["1"]["error"]
    status = shell("status", "--json")
    assert status.status == 1
    assert any("offsets 40 to 74 are gone" in problem for problem in status.json["problems"])
    for group in ("history", "monitor"):
        refused = shell("accept-gap", "--group", group)
        assert (refused.status, refused.out) == (1, "")
        assert refused.err.startswith(f"group sluice-{group} is running (")
    first.stop()

    before = sorted(root.rglob("*"))
    dry = shell("accept-gap", "--group", "history", "--dry-run", "--json")
    found = {"first": 40, "last": 74, "offsets": 35, "goes_on_at": 75}
    assert (dry.status, dry.json["accepted"], dry.json["partitions"]) == (0, False, {"1": found})
    assert sorted(root.rglob("*")) == before
    assert shell("accept-gap", "--group", "history", "--partition", "0", "--json").json["partitions"] == {}
    accepted = shell("accept-gap", "--group", "history", "--yes", "--why", "retention \x1b[31mtoo short", "--json")
    assert (accepted.status, accepted.json["accepted"], accepted.json["partitions"]) == (0, True, {"1": found})
    assert shell("accept-gap", "--group", "history", "--json").json["partitions"] == {}, "it is on record"
    verify = shell("verify")
    assert (verify.status, verify.err) == (0, ""), verify.out
    assert r"raw-log[1] accepted gap: 40 to 74: lost, as accepted at 20" in verify.out
    assert r"retention \x1b[31mtoo short" in verify.out
    assert "every offset once but the 35 whose loss was accepted" in verify.out
    assert shell("verify", "--json").json["left_out"] == {MONITOR: {}}
    assert shell("status", "--json").json["left_out"] == {MONITOR: {}}

    first.start(ready=False)  # history goes on; the monitor's partition waits for a word of its own
    reached(fresh_kafka, HISTORY, {0: 45, 1: 100})
    first.stop()
    accepted = shell("accept-gap", "--group", "monitor")
    assert (accepted.status, accepted.err) == (0, "")
    assert [line.split() for line in accepted.out.splitlines()][1] == ["1", "40", "74", "35", "75"]
    assert fresh_kafka.group_offsets(MONITOR, "raw-log") == {0: 45, 1: 75}
    gap = {"first": 40, "last": 74, "said": "gap accepted 40-74"}
    assert shell("status", "--json").json["left_out"] == {MONITOR: {"1": [gap]}}, "no worker has come by yet"

    first.start()
    for group in (MONITOR, HISTORY):
        reached(fresh_kafka, group, {0: 45, 1: 100})
    judged(shell, root, fresh_kafka, lost={1: range(40, 75)})
    assert shell("verify", "--json").json["left_out"] == {MONITOR: {"1": [gap]}}, "kept for good"
    told = (
        f"raw-log[1] accepted gap of {MONITOR}: 40 to 74: in no window and no monitoring topic (gap accepted 40-74)\n"
    )
    assert told in shell("verify").out
    status = wait_until(lambda: [said for said in [shell("status")] if said.status == 0], 20, "all to be well")[0]
    assert told in status.out
    assert "All is well." in status.out
    first.stop()


def test_records_dropped_while_a_partition_is_read_stop_it_too(
    fresh_kafka: LiveKafka, worker: Workers, shell: Shell, root: Path
) -> None:
    """The client itself would go on at the oldest record there is, and nobody would know."""
    settings = {**SETTINGS, "SLUICE_ROLES": "history", "SLUICE_HISTORY_ROLL_INTERVAL_S": 3600}
    first = worker(broker=fresh_kafka.url, history=f"file://{root}", settings=settings)
    send(fresh_kafka, 1, 40)
    wait_until(lambda: history_flow(first)["received"] >= 40, PATIENCE_S, "history to read them")
    assert history_flow(first)["workers"][0]["notes"]["open"]["records"] == 40
    first.pause()
    time.sleep(4)  # the fetch that waits at the broker gives up after half a second of the broker's own time
    send(fresh_kafka, 1, 60)
    send(fresh_kafka, 0, 10)
    drop(fresh_kafka, 1, before=75)
    first.cont()

    wait_until(
        lambda: "offsets 40 to 74 are gone" in said_by(first, HISTORY), PATIENCE_S, "the stop", retry_on=Exception
    )
    # What was read and not committed was gone from Kafka, too: it was committed before the partition stopped.
    assert [row["offset"] for row in local_records(root) if row["partition"] == 1] == list(range(40))
    first.stop()

    assert shell("accept-gap", "--group", "history", "--yes").status == 0
    first.start()
    wait_until(lambda: history_flow(first)["received"] >= 25, PATIENCE_S, "history to read the rest")
    first.stop()
    judged(shell, root, fresh_kafka, lost={1: range(40, 75)})


def test_a_gap_before_the_first_roll_and_one_that_is_none(fresh_kafka: LiveKafka, shell: Shell, root: Path) -> None:
    """A fresh root, where the group's offset says where it begins; and a history of another cluster."""
    fresh_kafka.create_topic("raw-log", 2)
    send(fresh_kafka, 0, 50)
    send(fresh_kafka, 1, 50)
    commit(fresh_kafka, HISTORY, {0: 10, 1: 50})
    drop(fresh_kafka, 0, before=20)
    assert "raw-log[0] gap: 10 to 19: gone from Kafka" in shell("verify").out
    assert shell("accept-gap", "--group", "history", "--yes").status == 0
    verified = shell("verify", "--json").json
    assert [(loss["first"], loss["last"]) for loss in verified["partitions"][0]["lost"]] == [(10, 19)]
    assert fresh_kafka.group_offsets(HISTORY, "raw-log") == {0: 20, 1: 50}

    fresh_kafka.delete_topics("raw-log")
    fresh_kafka.create_topic("raw-log", 2)
    ahead = shell("accept-gap", "--group", "history", "--yes")
    assert ahead.status == 1
    assert "raw-log[0]: sluice-history goes on at offset 20, and Kafka ends at -1" in ahead.err


@pytest.mark.parametrize(
    "options",
    [[], ["--group", "x"], ["--group", "monitor", "--why", "x"], ["--group", "history", "--partition", "9"]],
    ids=["no_group", "unknown_group", "why_of_monitor", "unknown_partition"],
)
def test_wrong_usage(fresh_kafka: LiveKafka, shell: Shell, options: list[str]) -> None:
    fresh_kafka.create_topic("raw-log", 2)
    said = shell("accept-gap", *options)
    assert (said.status, said.out) == (2, "")
    assert said.err


# -- what the tests do and ask


def send(kafka: LiveKafka, partition: int, count: int) -> None:
    kafka.produce("raw-log", [b"line %d" % number for number in range(count)], partition=partition)


def drop(kafka: LiveKafka, partition: int, *, before: int) -> None:
    """Have the broker drop the records before an offset, as its retention would."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition("raw-log", partition): RecordsToDelete(before)})
        finally:
            await admin.close()

    asyncio.run(delete())


def commit(kafka: LiveKafka, group: str, offsets: dict[int, int]) -> None:
    """Set the offsets of a group without members."""

    async def set_offsets() -> None:
        brokers = Brokers([kafka.bootstrap], timeout_s=30)
        try:
            await brokers.set_offsets(group, "raw-log", offsets, "")
        finally:
            await brokers.close()

    asyncio.run(set_offsets())


def reached(kafka: LiveKafka, group: str, wanted: dict[int, int]) -> None:
    def there() -> bool:
        committed = kafka.group_offsets(group, "raw-log")
        return all(committed.get(partition, 0) >= offset for partition, offset in wanted.items())

    wait_until(there, PATIENCE_S, f"{group} to reach {wanted}", retry_on=Exception)


def said_by(worker: Worker, group: str) -> str:
    """What `/ready` says of a group."""
    answer = worker.get("/ready").json()
    return str(answer["checks"][group]["detail"]) if answer["checks"].get(group, {"ok": True})["ok"] is False else ""


def history_flow(worker: Worker) -> dict[str, object]:
    (flow,) = [flow for flow in worker.get_json("/api/flows")["destinations"] if flow["name"] == "history"]
    return dict(flow)


def failed_flow(worker: Worker, *, committed: int) -> dict[str, Any] | None:
    """The flow as it is reported every two seconds, once it has failed and partition 0 has come so far."""
    flow = history_flow(worker)
    caught_up = flow["workers"][0]["notes"]["partitions"]["0"]["committed"] == committed
    return flow if flow["state"] == "failed" and caught_up else None


def judged(shell: Shell, root: Path, kafka: LiveKafka, *, lost: dict[int, range]) -> None:
    """Every offset is in the history once, but those whose loss was accepted; and `verify` says so."""
    verify = shell("verify", "--deep")
    assert (verify.status, verify.err) == (0, ""), verify.out
    found = sorted((row["partition"], row["offset"]) for row in local_records(root))
    ends = kafka.end_offsets("raw-log")
    wanted = [(p, offset) for p, end in ends.items() for offset in range(end) if offset not in lost.get(p, ())]
    assert found == wanted
