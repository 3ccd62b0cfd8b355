"""Judges a run: what was acknowledged is in raw-log, and from there each record is counted exactly once, everywhere."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.errors import UnknownTopicOrPartitionError

from tests.support import verdicts
from tests.support.hdfs import LiveHdfs, inflate
from tests.support.kafka import LiveKafka
from tests.support.polling import PATIENCE_S, wait_until
from tests.support.verdicts import Position


def local_records(root: Path) -> list[dict[str, Any]]:
    """All rows of a history on this machine, each with its `file` under the root."""
    return [
        {**json.loads(line), "file": path.relative_to(root).as_posix()}
        for path in sorted((root / "data").rglob("*"))
        if path.is_file()
        for line in inflate(path.name, path.read_bytes()).splitlines()
    ]


def local_files(root: Path) -> dict[str, bytes]:
    """Every file under `data/` with its content."""
    return {str(path.relative_to(root)): path.read_bytes() for path in (root / "data").rglob("*") if path.is_file()}


def hdfs_records(hdfs: LiveHdfs, root: str) -> list[dict[str, Any]]:
    """All rows of a history in HDFS, each with its `file` under the root."""
    return [
        {**json.loads(line), "file": posixpath.relpath(path, root)}
        for path in hdfs.files(posixpath.join(root, "data"))
        for line in hdfs.read(path).splitlines()
    ]


class Oracle:
    """What must hold when everything has come to rest; each method raises AssertionError with what does not.

    Made for what `events` sends and the shipped routes. That no file under `data/` ever changed is for `HistoryWatch`
    to say, which looks all the time.
    """

    def __init__(self, kafka: LiveKafka) -> None:
        self.kafka = kafka
        self.raw: list[ConsumerRecord] = kafka.consume("raw-log")
        self.by_position: dict[Position, ConsumerRecord] = {(r.partition, r.offset): r for r in self.raw}

    def acknowledged_events_are_in_raw_log(self, acknowledged: Mapping[str, Any], attempted: Mapping[str, Any]) -> None:
        """Nothing that was acknowledged is missing, and nothing is there that nobody sent."""
        verdicts.acknowledged_are_there(self.raw, acknowledged, attempted)

    def history_has_each_record_once(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Each raw offset is in exactly one file, unchanged."""
        verdicts.history_has_each_once(self.by_position, rows)

    def topics_have_each_line_once(self) -> None:
        """Each monitoring topic has each line that is routed to it once, told of rightly, and nothing else."""
        for topic, expected, field in (
            ("access-log", verdicts.is_access_line, "query"),
            ("business-orders", verdicts.is_order, "order_id"),
        ):
            records = self._read(topic)
            verdicts.topic_has_each_once(topic, records, filter(expected, self.raw))
            verdicts.topic_tells_of_the_same(topic, records, self.by_position, field)

    def dead_letters_are_the_malformed(self) -> None:
        """Each malformed line is a dead letter, once, with its body unchanged."""
        letters = self._read("dead-letter")
        verdicts.topic_has_each_once("dead-letter", letters, filter(verdicts.is_malformed, self.raw))
        verdicts.letters_are_unchanged(letters, self.by_position)

    def windows_are_exact(self, get_json: Callable[[str], Any], since_s: int = 0) -> None:
        """The windows that a worker shows come to be what raw-log adds up to, each apart; from `since_s` on.

        Come to be: a transaction that Kafka has is in the worker's own state a moment later, and what another worker
        counts is followed.
        """

        def shown() -> bool:
            answer = get_json("/api/access")
            verdicts.access_windows_are_exact(answer["windows"], answer["window_s"], self.raw, since_s)
            answer = get_json("/api/business/orders")
            verdicts.order_windows_are_exact(answer["windows"], answer["window_s"], self.raw, since_s)
            return True

        wait_until(shown, PATIENCE_S, "exact windows", retry_on=AssertionError)

    def judge(
        self,
        acknowledged: Mapping[str, Any],
        attempted: Mapping[str, Any],
        rows: Iterable[Mapping[str, Any]],
        get_json: Callable[[str], Any],
        *,
        windows_since_s: int = 0,
    ) -> None:
        """Everything."""
        self.acknowledged_events_are_in_raw_log(acknowledged, attempted)
        self.history_has_each_record_once(rows)
        self.topics_have_each_line_once()
        self.dead_letters_are_the_malformed()
        self.windows_are_exact(get_json, windows_since_s)

    def _read(self, topic: str) -> list[ConsumerRecord]:
        """What a `read_committed` consumer sees."""
        try:
            return self.kafka.consume(topic)
        except UnknownTopicOrPartitionError:
            raise AssertionError(f"{topic}: there is no such topic") from None
