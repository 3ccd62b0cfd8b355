"""A worker under load with its history in HDFS: how far its groups are, how it is, and the judgement at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.oracle import Oracle, hdfs_records
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker

MONITOR, HISTORY = "sluice-monitor", "sluice-history"
PATIENCE_S = 90.0  # the machine is shared; nothing here is about speed


def settings(history: str, roll_interval_s: int = 1) -> dict[str, object]:
    """Of a worker that rolls every second, unless told otherwise."""
    return {
        "SLUICE_HISTORY": history,
        "SLUICE_HISTORY_ROLL_INTERVAL_S": roll_interval_s,
        "SLUICE_PARTITIONS": 2,
        "SLUICE_RETENTION_S": 7200,
    }


def ends(kafka: LiveKafka) -> dict[int, int]:
    """Where raw-log ends now."""
    return kafka.end_offsets("raw-log")


def reached(kafka: LiveKafka, group: str, wanted: dict[int, int]) -> None:
    """Wait until a group has committed these offsets, while more may be arriving."""

    def there() -> bool:
        committed = kafka.group_offsets(group, "raw-log")
        return all(committed.get(partition, 0) >= offset for partition, offset in wanted.items())

    wait_until(there, PATIENCE_S, f"{group} to reach {wanted}", retry_on=Exception)


def destination_of(worker: Worker) -> dict[str, Any]:
    """The history as `/api/flows` shows it."""
    (found,) = [flow for flow in worker.get_json("/api/flows")["destinations"] if flow["name"] == "history"]
    return dict(found)


def backing_off(worker: Worker) -> dict[str, Any] | None:
    """The history as `/api/flows` shows it, while it backs off."""
    found = destination_of(worker)
    return found if found["state"] == "backing off" else None


def access_lines(load: Load) -> int:
    """Well-formed access lines that are acknowledged by now."""
    return sum(" HTTP/1.1" in sent.body for sent in list(load.acknowledged.values()))


def requests_counted(worker: Worker) -> int:
    """Access lines in all windows."""
    return sum(window["requests"] for window in worker.get_json("/api/access")["windows"])


def shell(kafka: LiveKafka, history: str, directory: Path) -> Shell:
    """The shell of a deployment with this history."""
    return Shell(directory / "shell", broker=kafka.url, settings={"SLUICE_HISTORY": history})


def judged(
    kafka: LiveKafka, hdfs: LiveHdfs, history: str, root: str, load: Load, worker: Worker, directory: Path
) -> None:
    """All came to rest, the oracle is content, and `verify` says so too."""
    for group in (MONITOR, HISTORY):
        reached(kafka, group, ends(kafka))
    Oracle(kafka).judge(load.acknowledged, load.attempted, hdfs_records(hdfs, root), worker.get_json)
    verify = shell(kafka, history, directory)("verify", "--deep")
    assert (verify.status, verify.err) == (0, ""), verify.out
    assert f"{sum(ends(kafka).values()):,} records, every offset once" in verify.out
