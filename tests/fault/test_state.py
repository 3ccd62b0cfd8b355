"""The local state is disposable: deleted, torn, or with a changelog that was compacted, the windows stay the same."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.admin.records_to_delete import RecordsToDelete

from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import Oracle
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
GROUP, CHANGELOG = "sluice-monitor", "sluice-monitor-changelog"
ROLES = "ingest,monitor"
RETENTION_S = 5  # where windows are to expire


@pytest.fixture(autouse=True)
def empty_topics(fresh_kafka: LiveKafka) -> None:
    """Each test starts with no topics, and so no groups' offsets."""
    fresh_kafka.delete_topics(*fresh_kafka.topics())


def counted(kafka: LiveKafka) -> None:
    """Wait until the group has nothing left to count."""
    wait_until(lambda: kafka.lag(GROUP, "raw-log") == 0, PATIENCE_S, "the group to catch up", retry_on=Exception)


def windows(worker: Worker) -> Any:
    """All that the worker tells of its windows."""
    return [worker.get_json(path) for path in ("/api/access", "/api/access/top?n=1000", "/api/business/orders")]


def exact(kafka: LiveKafka, worker: Worker) -> None:
    """Everything is counted once, in windows and topics."""
    oracle = Oracle(kafka)
    oracle.topics_have_each_line_once()
    oracle.dead_letters_are_the_malformed()
    oracle.windows_are_exact(worker.get_json)


def loaded(worker: Worker, records: int) -> Load:
    """Load that is over."""
    with Load([worker.url], pause_s=0.02) as load:
        wait_until(lambda: len(load.acknowledged) >= records, PATIENCE_S, f"{records} events")
    return load


def test_a_state_directory_deleted_while_the_worker_runs(fresh_kafka: LiveKafka, worker: Workers) -> None:
    first = worker(broker=fresh_kafka.url, roles=ROLES, settings={"SLUICE_RETENTION_S": 7200})
    with Load([first.url], pause_s=0.02) as load:
        wait_until(lambda: len(load.acknowledged) > 500, PATIENCE_S, "load")
        delete_tables(first)
        wait_until(lambda: "was deleted while in use" in first.log, PATIENCE_S, "the worker to notice")
        before = len(load.acknowledged)
        wait_until(lambda: len(load.acknowledged) > before + 500, PATIENCE_S, "more load")
    counted(fresh_kafka)
    first.wait_ready()
    exact(fresh_kafka, first)
    # Once more, with nothing to do: nobody has to write for it to be noticed.
    expected = windows(first)
    delete_tables(first)
    wait_until(lambda: first.log.count("was deleted while in use") == 2, PATIENCE_S, "the idle worker to notice")
    wait_until(lambda: windows(first) == expected, PATIENCE_S, "the same windows", retry_on=AssertionError)
    first.wait_ready()
    assert first.log.count("was deleted while in use") == 2, "said once each time"
    assert "Traceback" not in first.log
    first.stop()


def test_a_state_directory_deleted_or_torn_while_the_worker_is_down(fresh_kafka: LiveKafka, worker: Workers) -> None:
    first = worker(broker=fresh_kafka.url, roles=ROLES, settings={"SLUICE_RETENTION_S": 7200})
    loaded(first, 1000)
    counted(fresh_kafka)
    Oracle(fresh_kafka).windows_are_exact(first.get_json)
    expected = windows(first)
    first.stop()

    shutil.rmtree(first.data_dir)
    first.start()
    assert windows(first) == expected
    first.stop()

    # Half a list of files alone may still be one that fits an earlier moment, and then nothing is wrong.
    torn = [file for kind in ("*.sst", "MANIFEST*", "CURRENT") for file in (first.data_dir / "tables").glob(kind)]
    assert len(torn) >= 2
    for file in torn:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    first.start()
    assert windows(first) == expected
    assert first.log.count("rebuilding from Kafka") == 1, "a deleted directory is a new one; a torn one is said, once"
    loaded(first, 300)
    counted(fresh_kafka)
    exact(fresh_kafka, first)
    assert "Traceback" not in first.log
    first.stop()


def test_a_compacted_changelog_gives_the_same_windows(fresh_kafka: LiveKafka, worker: Workers) -> None:
    fresh_kafka.create_topic(
        CHANGELOG,
        1,
        cleanup_policy="compact",
        segment_ms="1000",
        min_cleanable_dirty_ratio="0.001",
        delete_retention_ms="100",
        max_compaction_lag_ms="1000",
    )
    settings = {"SLUICE_RETENTION_S": RETENTION_S, "SLUICE_WINDOW_S": 1, "SLUICE_PARTITIONS": 1}
    first = worker(broker=fresh_kafka.url, roles=ROLES, settings=settings)
    loaded(first, 2000)
    counted(fresh_kafka)
    tombstones: set[bytes | None] = set()

    def expired() -> list[ConsumerRecord]:
        loaded(first, 20)  # expiry is by the records' own time
        records = fresh_kafka.consume(CHANGELOG)
        tombstones.update(record.key for record in records if record.value is None)
        return records if tombstones else []

    written = wait_until(expired, PATIENCE_S, "windows to expire")

    def cleaned() -> bool:
        loaded(first, 20)  # a segment is rolled, and the clock moved on, by what is written
        records = fresh_kafka.consume(CHANGELOG)
        left, keys = {record.offset for record in records}, {record.key for record in records}
        gone = tombstones - keys  # windows that expired have left nothing, not even a tombstone
        return bool(gone) and sum(record.offset in left for record in written) < len(written) / 10

    wait_until(cleaned, PATIENCE_S, "the broker's cleaner to have dropped nine in ten of what was written first")
    counted(fresh_kafka)
    oracle = Oracle(fresh_kafka)
    newest_s = max(record.timestamp for record in oracle.raw) // 1000
    oracle.windows_are_exact(first.get_json, since_s=newest_s - RETENTION_S + 1)  # the older ones expire
    expected = windows(first)
    assert expected[0]["windows"]
    first.stop()

    shutil.rmtree(first.data_dir)
    first.start()
    assert windows(first) == expected
    loaded(first, 300)
    counted(fresh_kafka)
    Oracle(fresh_kafka).topics_have_each_line_once()
    assert "Traceback" not in first.log
    first.stop()


def test_a_killed_workers_partitions_are_counted_again_soon(fresh_kafka: LiveKafka, worker: Workers) -> None:
    first = worker(broker=fresh_kafka.url, roles=ROLES, settings={"SLUICE_RETENTION_S": 7200})
    second = worker(broker=fresh_kafka.url, roles="monitor", settings={"SLUICE_RETENTION_S": 7200})
    wait_until(lambda: len(partitions_of(first)) == len(partitions_of(second)) == 2, PATIENCE_S, "two partitions each")
    orphans = partitions_of(second)
    with Load([first.url], pause_s=0.02) as load:
        wait_until(lambda: len(load.acknowledged) > 500, PATIENCE_S, "load")
        second.kill()
        killed_at = time.monotonic()
        left_at = fresh_kafka.group_offsets(GROUP, "raw-log")

        def taken_over() -> bool:
            offsets = fresh_kafka.group_offsets(GROUP, "raw-log")
            return all(offsets.get(p, 0) > left_at.get(p, 0) for p in orphans)

        wait_until(taken_over, PATIENCE_S, "the dead worker's partitions to be counted again")
        took_s = time.monotonic() - killed_at
    print(f"\ntaken over {took_s:.1f} s after the kill")
    # The session timeout is 10 s, and what the group needs to share out anew is a second or two; the rest is for a
    # machine that does other things as well.
    assert took_s < 45
    counted(fresh_kafka)
    exact(fresh_kafka, first)
    first.stop()


def test_a_partition_whose_next_offset_is_gone_stops_alone_until_the_gap_is_accepted(
    fresh_kafka: LiveKafka, worker: Workers, tmp_path: Path
) -> None:
    settings = {"SLUICE_RETENTION_S": 7200}
    first = worker(broker=fresh_kafka.url, roles=ROLES, settings=settings)
    loaded(first, 300)
    counted(fresh_kafka)
    counted_before = requests(first)
    applied = fresh_kafka.group_offsets(GROUP, "raw-log")
    first.stop()

    ingest = worker(broker=fresh_kafka.url, roles="ingest")
    loaded(ingest, 300)
    ingest.stop()
    ends = fresh_kafka.end_offsets("raw-log")
    gone = next(p for p, end in ends.items() if end > applied[p] + 1)
    begin = ends[gone] - 1
    drop_before(fresh_kafka, gone, begin)

    first.start(ready=False)
    others = [p for p in ends if p != gone]
    wait_until(
        lambda: all(fresh_kafka.group_offsets(GROUP, "raw-log").get(p) == ends[p] for p in others),
        PATIENCE_S,
        "the other partitions to be counted",
    )
    said = f"raw-log[{gone}]: offsets {applied[gone]} to {begin - 1} are gone"
    wait_until(lambda: said in first.get("/ready").text, PATIENCE_S, "/ready to say which offsets are gone")
    assert first.get("/ready").status_code == 503
    assert "accept-gap" in first.get("/ready").text
    shell = Shell(tmp_path / "shell", broker=fresh_kafka.url)
    # It tells what the worker last reported, every two seconds.
    wait_until(lambda: said in refused(shell, "status"), PATIENCE_S, "the status to say so, too")
    first.stop()

    accepted = wait_until(lambda: succeeded(shell, "accept-gap", "--group", "monitor", "--yes"), PATIENCE_S, "the gap")
    assert str(begin - 1) in accepted
    first.start()
    assert f"Gap accepted raw-log[{gone}]: offsets {applied[gone]} to {begin - 1}" in first.log
    counted(fresh_kafka)
    lines = fresh_kafka.consume("access-log")
    wait_until(lambda: requests(first) == len(lines), PATIENCE_S, f"{len(lines)} requests in the windows")
    assert len(lines) > counted_before
    assert fresh_kafka.group_offsets(GROUP, "raw-log") == ends
    first.stop()


def partitions_of(worker: Worker) -> list[int]:
    """The partitions that the worker counts."""
    own = [each for each in worker.get_json("/api/flows")["workers"] if each["pid"] == worker.pid]
    return list(own[0]["partitions"].get(GROUP, ())) if own else []


def requests(worker: Worker) -> int:
    """How many requests are in the windows."""
    return sum(window["requests"] for window in worker.get_json("/api/access")["windows"])


def succeeded(shell: Shell, *arguments: str) -> str:
    """What a command said; empty where it failed, as a group that was just stopped may seem to run for a moment."""
    said = shell(*arguments)
    return said.out if said.status == 0 else ""


def refused(shell: Shell, *arguments: str) -> str:
    """What a command said that must not succeed."""
    said = shell(*arguments)
    assert said.status != 0
    return said.out + said.err


def delete_tables(worker: Worker) -> None:
    """Delete the state of a worker that runs, at once: it may make the folder anew while the old files still go."""
    deleted = worker.data_dir / "deleted-tables"
    (worker.data_dir / "tables").rename(deleted)
    shutil.rmtree(deleted)


def drop_before(kafka: LiveKafka, partition: int, offset: int) -> None:
    """What retention does."""

    async def delete(admin: Any) -> None:
        await admin.delete_records({TopicPartition("raw-log", partition): RecordsToDelete(offset)})

    kafka._with_admin(delete)
