"""Builds the history's storage and writers from the settings."""

from __future__ import annotations

import time

from app.brokers import Brokers, Position
from app.topics import RAW_LOG
from config.addresses import HistoryLocation
from config.settings import Settings
from sinks.history.executor import AbandonableExecutor
from sinks.history.local import LocalStorage
from sinks.history.storage import Storage
from sinks.history.webhdfs import WebHdfsStorage
from sinks.history.writer import PartitionWriter, WriterOptions

# zlib and zstd release the GIL, uploads wait for the network: more threads than cores.
THREADS = 6


def open_storage(location: HistoryLocation) -> Storage:
    """The storage that a history location names; connects at its first use."""
    if location.is_local:
        return LocalStorage(location.directory)
    return WebHdfsStorage(list(location.urls), location.path, user=location.user)


class HistoryParts:
    """What the lanes of the history need, shared by all partitions of a worker."""

    def __init__(self, settings: Settings, brokers: Brokers, group: str) -> None:
        self._brokers = brokers
        self._group = group
        self._storage = open_storage(settings.history)
        self._executor = AbandonableExecutor(THREADS, "history")
        self._options = WriterOptions(
            format=settings.history_format,
            compression=settings.history_compression,
            roll_bytes=settings.history_roll_bytes,
            roll_interval_s=settings.history_roll_interval_s,
            buffer_dir=settings.data_dir / "history",
        )

    def new_writer(self, partition: int) -> PartitionWriter:
        """A writer for one partition that was just assigned."""
        return PartitionWriter(RAW_LOG, partition, self._storage, self._options, self._executor, time.monotonic)

    async def bounds(self, partition: int) -> Position:
        """What Kafka has of a partition, and what the group has committed. Raises BrokersUnavailable."""
        return (await self._brokers.positions(self._group, RAW_LOG))[partition]
