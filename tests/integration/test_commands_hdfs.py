"""The shell on a history in a real HDFS: verify it, write it again elsewhere, replay the windows from a time."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.load import access_line
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

MONITOR, HISTORY = "sluice-monitor", "sluice-history"
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def root(hdfs: LiveHdfs) -> str:
    return hdfs.new_path()


@pytest.fixture(scope="module")
def shell(fresh_kafka: LiveKafka, hdfs: LiveHdfs, root: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(
        tmp_path_factory.mktemp("shell"), broker=fresh_kafka.url, settings={"SLUICE_HISTORY": hdfs.history_url(root)}
    )


@pytest.fixture(scope="module")
def served(
    fresh_kafka: LiveKafka, hdfs: LiveHdfs, root: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Worker, int]]:
    """A worker that has written two posts, some seconds apart, to HDFS; and the instant between them, epoch ms."""
    workers = Workers(tmp_path_factory.mktemp("workers"))
    try:
        worker = workers(
            broker=fresh_kafka.url,
            history=hdfs.history_url(root),
            settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 1, "SLUICE_HISTORY_COMPRESSION": "zstd"},
        )
        post(worker, "early", 120)
        settled(fresh_kafka)
        time.sleep(1)  # Kafka's timestamps are milliseconds: the instant between is nobody's
        between_ms = int(time.time() * 1000)
        time.sleep(1)
        post(worker, "late", 80)
        settled(fresh_kafka)
        yield worker, between_ms
    finally:
        workers.kill()


def test_all_is_well(served: tuple[Worker, int], shell: Shell, hdfs: LiveHdfs, root: str) -> None:
    said = wait_until(lambda: [said for said in [shell("status", "--json")] if said.status == 0], 20, "all to be well")
    assert said[0].json["status"] == "ok"
    assert (shell("lag").status, shell("lag", "--json").status) == (0, 0)
    verified = shell("verify", "--deep", "--json")
    assert verified.status == 0
    assert sum(part["rows"] for part in verified.json["partitions"]) == len(hdfs.records(root)) == 200
    settings = {row["name"]: row for row in shell("settings", "--json").json}
    assert settings["SLUICE_HISTORY"]["value"] == hdfs.history_url(root)


def test_a_file_that_is_gone_from_hdfs_is_told_and_its_return_too(
    served: tuple[Worker, int], shell: Shell, hdfs: LiveHdfs, root: str
) -> None:
    file = hdfs.files(f"{root}/data")[0]
    hdfs.client.rename(file, f"{root}-away")
    try:
        gone = shell("verify")
        assert gone.status == 1
        assert f"missing: {file.removeprefix(root + '/')}" in gone.out
    finally:
        hdfs.client.rename(f"{root}-away", file)
    assert shell("verify").status == 0


def test_history_into_another_root_of_hdfs_is_the_same_history(
    served: tuple[Worker, int], fresh_kafka: LiveKafka, shell: Shell, hdfs: LiveHdfs, root: str
) -> None:
    other = hdfs.new_path()
    offsets = fresh_kafka.group_offsets(HISTORY, "raw-log")
    before = hdfs.files(root)

    said = shell("replay", "--group", "history", "--into", hdfs.history_url(other), "--json")

    assert said.status == 0
    assert by_position(hdfs.records(other)) == by_position(hdfs.records(root))
    assert (fresh_kafka.group_offsets(HISTORY, "raw-log"), hdfs.files(root)) == (offsets, before)
    inside = shell("replay", "--group", "history", "--into", hdfs.history_url(f"{root}/data/again"))
    assert (inside.status, inside.err.count("\n")) == (1, 1)
    assert "must not lie within one another" in inside.err


def test_history_of_a_span_of_time(served: tuple[Worker, int], shell: Shell, hdfs: LiveHdfs) -> None:
    _, between_ms = served
    early, late = hdfs.new_path(), hdfs.new_path()

    for into, options in ((early, ["--to", f"@{between_ms}"]), (late, ["--from", f"@{between_ms}"])):
        assert shell("replay", "--group", "history", "--into", hdfs.history_url(into), *options).status == 0

    assert {row["headers"]["when"] for row in hdfs.records(early)} == {"early"}
    assert {row["headers"]["when"] for row in hdfs.records(late)} == {"late"}
    assert (len(hdfs.records(early)), len(hdfs.records(late))) == (120, 80)


def test_windows_from_a_time_come_out_the_same_and_forward_what_is_asked_for(
    served: tuple[Worker, int], fresh_kafka: LiveKafka, shell: Shell
) -> None:
    worker, between_ms = served
    # A batch is in the windows a moment after its offset is committed.
    wait_until(lambda: sum(each["requests"] for each in windows_of(worker)) == 200, PATIENCE_S, "all in the windows")
    windows = windows_of(worker)
    forwarded = Counter(line_ids(fresh_kafka))
    refused = shell("replay", "--group", "monitor", "--from", f"@{between_ms}")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "group sluice-monitor is running (" in refused.err
    worker.stop()
    ends = fresh_kafka.group_offsets(MONITOR, "raw-log")

    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between_ms / 1000)) + f".{between_ms % 1000:03}Z"
    said = shell("replay", "--group", "monitor", "--from", at, "--forward", "--json")

    assert said.status == 0
    assert sum(part["to_read"] for part in said.json["partitions"].values() if part["changed"]) == 80
    starts = fresh_kafka.group_offsets(MONITOR, "raw-log")
    assert sum(ends[partition] - starts[partition] for partition in ends) == 80
    worker.start()
    settled(fresh_kafka)
    again = forwarded + Counter(id for id in forwarded if id.startswith("late"))
    wait_until(lambda: Counter(line_ids(fresh_kafka)) == again, PATIENCE_S, "the later lines, and no others, again")
    wait_until(lambda: windows_of(worker) == windows, PATIENCE_S, "the windows to be what they were")
    assert shell("verify").status == 0


def post(worker: Worker, when: str, count: int) -> None:
    """Access lines of now, with ids, from several hosts."""
    rng = random.Random(count)
    now_s = time.time()
    events = [
        {
            "headers": {"type": "access_log", "service": "shop", "host": f"web-{i % 9}", "when": when},
            "body": access_line(f"{when}-{i}", rng, now_s),
        }
        for i in range(count)
    ]
    assert worker.post("/logCollect2", json.dumps(events), "application/json").status_code == 200


def windows_of(worker: Worker) -> Any:
    return worker.get_json("/api/access")["windows"]


def settled(kafka: LiveKafka) -> None:
    for group in (MONITOR, HISTORY):
        wait_until(lambda group=group: kafka.lag(group, "raw-log") == 0, PATIENCE_S, f"{group} to be done")


def line_ids(kafka: LiveKafka) -> list[str]:
    """The id in each line of the monitoring topic."""
    return [json.loads(record.value)["query"].removeprefix("id=") for record in kafka.consume("access-log")]


def by_position(rows: list[dict[str, Any]]) -> Mapping[tuple[int, int], dict[str, Any]]:
    found = {(row["partition"], row["offset"]): row for row in rows}
    assert len(found) == len(rows)
    return found
