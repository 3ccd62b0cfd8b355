"""Builds the history's storage and writers from the settings, and tells how its partitions are."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faust.types import TP

from agents.history import HistoryHandler
from app.brokers import Brokers, Position
from app.lane_states import NOT_RUNNING, worst_of
from app.topics import RAW_LOG
from config.addresses import HistoryLocation
from config.settings import Settings
from sinks.history.executor import AbandonableExecutor
from sinks.history.local import LocalStorage
from sinks.history.storage import Storage
from sinks.history.webhdfs import WebHdfsStorage
from sinks.history.writer import PartitionWriter, WriterOptions
from streaming.lanes import Lane, Lanes
from telemetry.flow import Flow

# zlib and zstd release the GIL, uploads wait for the network: more threads than cores.
THREADS = 6
PARTITIONS_TOLD = 64  # a worker's report is one Kafka record: of more partitions, those in the worst state


def open_storage(location: HistoryLocation) -> Storage:
    """The storage that a history location names; connects at its first use."""
    if location.is_local:
        return LocalStorage(location.directory)
    return WebHdfsStorage(list(location.urls), location.path, user=location.user)


def writer_options(settings: Settings, buffer_dir: Path) -> WriterOptions:
    """How the settings want the history to be written, with buffers in a directory of the writer's own."""
    return WriterOptions(
        format=settings.history_format,
        compression=settings.history_compression,
        roll_bytes=settings.history_roll_bytes,
        roll_interval_s=settings.history_roll_interval_s,
        buffer_dir=buffer_dir,
    )


class HistoryFlow(Flow):
    """The history's flow: its state is that of its worst partition, its notes tell of each.

    Notes: `failed`, `backing off`, `recovering` name the partitions in that state. `open` sums up what is read and not
    committed yet: records, bytes, and the age in seconds of the oldest roll. `partitions` has for each the state, the
    open roll, and its last commit, which is the offset to go on at and when this worker committed it.
    """

    def __init__(self) -> None:
        super().__init__("history", "destination")
        self._lanes: Lanes | None = None
        self._parts: HistoryParts | None = None

    def watch(self, lanes: Lanes, parts: HistoryParts) -> None:
        """Tell of these from now on; the group's application has been built."""
        self._lanes, self._parts = lanes, parts

    def snapshot(self) -> dict[str, Any]:
        """A JSON-ready copy, with the state and the notes of now."""
        if self._lanes is not None and self._parts is not None:
            lanes = {tp.partition: lane for tp, lane in sorted(self._lanes.lanes.items())}
            states = {lane.state for lane in lanes.values()}
            if lanes or self._lanes.app.assigned:
                self.state = worst_of(states)
            self.notes = dict(_notes(lanes, self._parts.handlers))
        return super().snapshot()


def _notes(lanes: dict[int, Lane], handlers: dict[int, HistoryHandler]) -> Iterator[tuple[str, Any]]:
    for state, told in NOT_RUNNING.items():
        named = [partition for partition, lane in lanes.items() if lane.state == state]
        if named:
            yield told, named
    rolls = [handlers[partition].open_roll for partition in lanes]
    waiting = [roll for roll in rolls if roll is not None]
    oldest_s = max((roll.age_s for roll in waiting), default=0.0)
    records, size = sum(roll.records for roll in waiting), sum(roll.bytes for roll in waiting)
    yield "open", {"records": records, "bytes": size, "oldest_s": round(oldest_s, 1)}
    worst_first = sorted(lanes, key=lambda partition: _rank(lanes[partition].state))
    told_of = sorted(worst_first[:PARTITIONS_TOLD])
    yield "partitions", {str(partition): _of_partition(lanes[partition], handlers[partition]) for partition in told_of}


def _rank(state: str) -> int:
    return list(NOT_RUNNING).index(state) if state in NOT_RUNNING else len(NOT_RUNNING)


def _of_partition(lane: Lane, handler: HistoryHandler) -> dict[str, Any]:
    roll = handler.open_roll
    return {
        "state": NOT_RUNNING.get(lane.state, "running"),
        "error": lane.error,
        "open_records": roll.records if roll else 0,
        "open_bytes": roll.bytes if roll else 0,
        "open_s": round(roll.age_s, 1) if roll else 0.0,
        "committed": handler.committed_offset,
        "committed_at_ms": handler.committed_at_ms,
    }


class HistoryParts:
    """What the lanes of the history need, shared by all partitions of a worker."""

    def __init__(self, settings: Settings, brokers: Brokers, group: str, flow: Flow) -> None:
        self._brokers = brokers
        self._group = group
        self._flow = flow
        self._storage = open_storage(settings.history)
        self._executor = AbandonableExecutor(THREADS, "history")
        self._options = writer_options(settings, settings.data_dir / "history")
        self.handlers: dict[int, HistoryHandler] = {}  # the newest of each partition that was ever assigned

    def new_handler(self, tp: TP) -> HistoryHandler:
        """The handler of a partition that was just assigned."""
        handler = self.handlers[tp.partition] = HistoryHandler(
            tp.topic, tp.partition, new_writer=self.new_writer, bounds=self.bounds, flow=self._flow
        )
        return handler

    def new_writer(self, partition: int) -> PartitionWriter:
        """A writer for one partition that was just assigned."""
        return PartitionWriter(RAW_LOG, partition, self._storage, self._options, self._executor, time.monotonic)

    async def bounds(self, partition: int) -> Position:
        """What Kafka has of a partition, and what the group has committed. Raises BrokersUnavailable."""
        return (await self._brokers.positions(self._group, RAW_LOG))[partition]
