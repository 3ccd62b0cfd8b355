"""A history that is ahead of the broker is kept apart."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from deploy.embedded.history_guard import lost_partitions, set_aside, written_ends
from sinks.history import layout
from sinks.history.record import CommitRecord


def commit(root: Path, partition: int, key: int, last: int, topic: str = "raw-log") -> None:
    path = root / layout.commit_path(topic, partition, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = CommitRecord(topic, partition, key, key, last, last - key + 1, "u", "w", False, ())
    path.write_bytes(record.to_json())


def test_the_newest_roll_of_each_partition_counts(tmp_path):
    commit(tmp_path, 0, 0, 9)
    commit(tmp_path, 0, 10, 41)
    commit(tmp_path, 3, 0, 6)
    commit(tmp_path, 1, 0, 99, topic="another")
    assert written_ends(tmp_path) == {0: 42, 3: 7}


def test_no_history_is_nothing_written(tmp_path):
    assert written_ends(tmp_path / "none") == {}


def test_a_record_that_can_t_be_read_is_left_to_the_worker(tmp_path):
    commit(tmp_path, 0, 0, 9)
    (tmp_path / layout.commit_path("raw-log", 0, 10)).write_bytes(b"torn")
    commit(tmp_path, 1, 0, 4)
    assert written_ends(tmp_path) == {1: 5}


def test_ahead_is_what_the_broker_has_not_given():
    assert lost_partitions({0: 10, 1: 10, 2: 10, 3: 1}, {0: 10, 1: 11, 2: 9}) == [2, 3]
    assert lost_partitions({}, {}) == []


def test_nothing_is_deleted(tmp_path):
    root = tmp_path / "history"
    commit(root, 0, 0, 9)
    aside = set_aside(root, datetime(2026, 11, 21, 7, 5, tzinfo=timezone.utc))
    assert aside == tmp_path / "history.20261121T070500Z"
    assert written_ends(aside) == {0: 10}
    assert not root.exists()
