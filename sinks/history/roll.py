"""One roll on its way into the history, step by step; what failed is tried again from that step on."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import NamedTuple

from sinks.history import layout
from sinks.history.buffer import SealedFile
from sinks.history.codec import Compression
from sinks.history.commit import CommitLog
from sinks.history.encoder import Format
from sinks.history.errors import HistoryDamaged, SinkError, StorageFull, StorageUnavailable
from sinks.history.record import CommitRecord, CommittedFile
from sinks.history.storage import Body, Storage
from sinks.history.threads import Threads

_KNOWN_DIRECTORIES = 4096


class Destination(NamedTuple):
    """Where the rolls of one partition go."""

    topic: str
    partition: int
    format: Format
    compression: Compression
    writer: str
    storage: Storage
    log: CommitLog
    threads: Threads
    directories: set[str]  # in data/, that were seen there


class Loss(NamedTuple):
    """What an operator has decided of a roll that has no files and never will."""

    accepted_at_ms: int
    why: str


class Roll:
    """A roll's files and how far its commit has come.

    Steps: files uploaded -> record uploaded, all sizes checked -> record renamed (the commit) -> files renamed.
    Each attempt to upload a file has a name of its own: one that timed out may still be going on, and must not be able
    to touch the file that is renamed into data/.
    """

    def __init__(
        self, to: Destination, key: int, first: int, last: int, files: Sequence[SealedFile], loss: Loss | None = None
    ) -> None:
        self._to = to
        self._key = key
        self.first = first
        self.last = last
        self.rows = sum(file.rows for file in files)
        self.bytes = sum(len(file.body) for file in files)
        self._files = files
        self._loss = loss
        self._new_upload()
        self._attempts = itertools.count()
        self._record: tuple[str, CommitRecord] | None = None  # where it was uploaded to, and the record
        self._keys: list[int] | None = None  # of all records, when this one was committed
        self._moved: set[str] = set()

    async def commit(self) -> None:
        """Goes through the steps that are left. Raises: as PartitionWriter.commit."""
        if self._record is None:
            try:
                missing = [index for index in range(len(self._files)) if index not in self._sources]
                await self._to.threads.each(self._upload_file, missing)
                self._record = await self._to.threads.run(self._upload_record)
            except StorageFull:
                await self._take_back()
                raise
        source, record = self._record
        if self._keys is None:
            self._keys = await self._to.threads.run(self._to.log.publish, source, record)
        await self._to.threads.each(self._move, [file for file in record.files if file.target not in self._moved])

    def tidy(self, clear_all: bool) -> None:
        """Blocks. Archives old commit records and removes this upload, or all that are of no use any more."""
        if self._keys is not None:
            self._to.log.archive(self._keys, self._directory)
        if clear_all:
            self._to.log.clear_uploads(self._key)
        else:
            self._to.storage.delete(self._directory)

    def __str__(self) -> str:
        return (
            f"{self._to.topic}[{self._to.partition}] offsets {self.first} to {self.last}: "
            f"records={self.rows} files={len(self._files)} bytes={self.bytes}"
        )

    def _new_upload(self) -> None:
        self._upload = uuid.uuid4().hex
        uploads = layout.uploads_directory(self._to.topic, self._to.partition)
        self._directory = f"{uploads}/{layout.upload_name(self._key, self._upload)}"
        self._sources: dict[int, str] = {}  # by index in files

    async def _take_back(self) -> None:
        """Removes an upload that found no room, so as not to take what is left from others.

        The next attempt is a new upload in a directory of its own: this removal may time out, and happen later.
        """
        directory = self._directory
        self._new_upload()
        with suppress(SinkError):  # it is cleared away later
            await self._to.threads.run(self._to.storage.delete, directory)

    async def _upload_file(self, index: int) -> None:
        source = f"{self._directory}/{index:05d}.{next(self._attempts)}"
        await self._to.threads.run(self._to.storage.write, source, self._files[index].body)
        self._sources[index] = source

    def _upload_record(self) -> tuple[str, CommitRecord]:
        record = self._make_record()
        content = record.to_json()
        source = f"{self._directory}/commit.{next(self._attempts)}"
        self._to.storage.write(source, Body([content]))
        # One call tells of all files whether they came through whole.
        sizes = {entry.name: entry.size for entry in self._to.storage.entries(self._directory)}
        for index, file in enumerate(record.files):
            if sizes.get(PurePosixPath(file.source).name) != file.bytes:
                del self._sources[index]
        if len(self._sources) != len(self._files) or sizes.get(PurePosixPath(source).name) != len(content):
            raise StorageUnavailable(f"{self._directory}: a file has another size than was uploaded")
        return source, record

    def _make_record(self) -> CommitRecord:
        to = self._to
        files = tuple(
            CommittedFile(
                source=self._sources[index],
                target=layout.data_path(
                    file.bucket, to.topic, to.partition, self.first, self.last, to.format, to.compression
                ),
                bytes=len(file.body),
                crc32=file.crc32,
                rows=file.rows,
                first=file.first,
                last=file.last,
            )
            for index, file in enumerate(self._files)
        )
        return CommitRecord(
            topic=to.topic,
            partition=to.partition,
            key=self._key,
            first=self.first,
            last=self.last,
            rows=self.rows,
            upload=self._upload,
            writer=to.writer,
            lost=self._loss is not None,
            files=files,
            accepted_at_ms=self._loss.accepted_at_ms if self._loss else 0,
            why=self._loss.why if self._loss else "",
        )

    async def _move(self, file: CommittedFile) -> None:
        if not await self._to.threads.run(self._move_blocking, file):
            raise HistoryDamaged(f"{file.target} is committed, but its upload {file.source} was removed by somebody")
        self._moved.add(file.target)

    def _move_blocking(self, file: CommittedFile) -> bool:
        directory = str(PurePosixPath(file.target).parent)
        if directory not in self._to.directories:
            self._to.storage.make_directory(directory)
            if len(self._to.directories) >= _KNOWN_DIRECTORIES:
                self._to.directories.clear()
            self._to.directories.add(directory)
        return self._to.log.complete(file)
