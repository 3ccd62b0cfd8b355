"""Judges a run: what was acknowledged is in raw-log, and from there each record is counted exactly once, everywhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord

from tests.support.hdfs import LiveHdfs, inflate
from tests.support.kafka import LiveKafka
from tests.support.load import id_of

Position = tuple[int, int]  # partition and offset


def local_records(root: Path) -> list[dict[str, Any]]:
    """All rows of a history on this machine."""
    files = sorted(path for path in (root / "data").rglob("raw-log+*") if path.is_file())
    return [json.loads(line) for file in files for line in inflate(file.name, file.read_bytes()).splitlines()]


def local_files(root: Path) -> dict[str, bytes]:
    """Every file under `data/` with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / "data").rglob("*") if path.is_file()}


def hdfs_records(hdfs: LiveHdfs, path: str) -> list[dict[str, Any]]:
    """All rows of a history in HDFS."""
    return hdfs.records(path)


class Oracle:
    """What must hold when everything has come to rest; each method raises AssertionError with what does not."""

    def __init__(self, kafka: LiveKafka) -> None:
        self.kafka = kafka
        self.raw: list[ConsumerRecord] = kafka.consume("raw-log")
        self.by_position: dict[Position, ConsumerRecord] = {(r.partition, r.offset): r for r in self.raw}

    def of_type(self, kind: str) -> list[ConsumerRecord]:
        """Raw records of one type."""
        return [record for record in self.raw if dict(record.headers).get("type") == kind.encode()]

    @property
    def well_formed(self) -> list[ConsumerRecord]:
        """Access lines that parse."""
        return [record for record in self.of_type("access_log") if b" HTTP/1.1" in record.value]

    @property
    def malformed(self) -> list[ConsumerRecord]:
        """Access lines that do not."""
        return [record for record in self.of_type("access_log") if b" HTTP/1.1" not in record.value]

    def acknowledged_events_are_in_raw_log(self, acknowledged: Mapping[str, Any], attempted: Mapping[str, Any]) -> None:
        """Nothing that was acknowledged is missing, and nothing is there that nobody sent."""
        ids = {id_of(record.value) for record in self.raw}
        missing, foreign = set(acknowledged) - ids, ids - set(attempted)
        assert not missing, f"{len(missing)} acknowledged events are lost, such as {sorted(missing)[:5]}"
        assert not foreign, f"{len(foreign)} events were never sent, such as {sorted(foreign)[:5]}"

    def history_has_each_record_once(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Each raw offset is in exactly one file, unchanged."""
        rows = list(rows)
        seen = Counter((row["partition"], row["offset"]) for row in rows)
        twice = [position for position, times in seen.items() if times > 1]
        assert not twice, f"{len(twice)} records stand twice in the history, such as {sorted(twice)[:5]}"
        missing, foreign = set(self.by_position) - set(seen), set(seen) - set(self.by_position)
        assert not missing, f"{len(missing)} records are not in the history, such as {sorted(missing)[:5]}"
        assert not foreign, f"{len(foreign)} records of the history are not in raw-log, such as {sorted(foreign)[:5]}"
        for row in rows:
            record = self.by_position[row["partition"], row["offset"]]
            assert row["body"].encode() == record.value
            assert row["headers"] == {name: value.decode() for name, value in record.headers}

    def access_log_has_each_line_once(self) -> None:
        """The monitoring topic has each well-formed line once, and nothing else."""
        self._each_once("access-log", self.well_formed)

    def dead_letters_are_the_malformed(self) -> None:
        """Each malformed line is a dead letter, once, with its body unchanged."""
        letters = self._each_once("dead-letter", self.malformed)
        for letter in letters:
            assert letter.value == self.by_position[_position(letter)].value

    def _each_once(self, topic: str, expected: Iterable[ConsumerRecord]) -> list[ConsumerRecord]:
        records = self.kafka.consume(topic)
        seen = Counter(_position(record) for record in records)
        twice = [position for position, times in seen.items() if times > 1]
        assert not twice, f"{topic}: {len(twice)} offsets stand twice, such as {sorted(twice)[:5]}"
        wanted = {(record.partition, record.offset) for record in expected}
        missing, foreign = wanted - set(seen), set(seen) - wanted
        assert not missing, (
            f"{topic}: {len(missing)} of {len(wanted)} offsets are missing, such as {sorted(missing)[:5]}"
        )
        assert not foreign, f"{topic}: {len(foreign)} offsets should not be there, such as {sorted(foreign)[:5]}"
        return records

    def windows_are_exact(self, get_json: Callable[[str], Any]) -> None:
        """The windows of `/api/access` are what the topic's lines add up to, each window and service apart."""
        answer = get_json("/api/access")
        window_s = answer["window_s"]
        expected: Counter[tuple[int, str]] = Counter()
        for record in self.kafka.consume("access-log"):
            line = json.loads(record.value)
            expected[line["ts"] // 1000 // window_s * window_s, line["service"]] += 1
        counted = {(window["start"], window["service"]): window["requests"] for window in answer["windows"]}
        assert counted == dict(expected), f"{sum(counted.values())} counted, {sum(expected.values())} lines"

    def judge(
        self,
        acknowledged: Mapping[str, Any],
        attempted: Mapping[str, Any],
        rows: Iterable[Mapping[str, Any]],
        get_json: Callable[[str], Any],
    ) -> None:
        """Everything."""
        self.acknowledged_events_are_in_raw_log(acknowledged, attempted)
        self.history_has_each_record_once(rows)
        self.access_log_has_each_line_once()
        self.dead_letters_are_the_malformed()
        self.windows_are_exact(get_json)


def _position(record: ConsumerRecord) -> Position:
    partition, _, offset = dict(record.headers)["raw"].decode().partition("/")
    return int(partition), int(offset)
