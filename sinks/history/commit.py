"""The commit log of one partition: which rolls there are, how one is added, and how a broken-off one is completed.

The rename of a commit record to `commits/<topic>+<partition>/<key>.json` is the commit. It is refused when another
writer has committed from the same key. Old records leave the directory for the archive, which frees their names, so
whoever has renamed also looks whether newer ones are there: the newest record is never taken away, hence a name that
was free because its record had been archived is told from one that was never taken. docs/decisions/0004 has the proof.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePosixPath

from sinks.history import layout
from sinks.history.errors import HistoryDamaged, RollAlreadyExists, StorageRefused, StorageUnavailable
from sinks.history.record import CommitRecord, CommittedFile
from sinks.history.storage import Body, Storage

_LOOKS = 5  # other writers may change what is looked at between one look and the next
_KEPT = 16  # records that stay: one would do, people like to see some more
_ARCHIVED_AT_ONCE = 128  # so the directory holds 144 records at most, and a year of rolls each minute is 4,106 files


class CommitLog:
    """The rolls of one partition. All methods block; none keeps state, so that an abandoned call does no harm.

    Any number of writers may use the log of a partition at a time; one of them gets each range of offsets.
    Each method raises what Storage raises; after StorageUnavailable the same call again settles what happened.
    """

    def __init__(self, storage: Storage, topic: str, partition: int) -> None:
        self._storage = storage
        self._topic = topic
        self._partition = partition
        self._directory = layout.commits_directory(topic, partition)
        self._uploads = layout.uploads_directory(topic, partition)
        self._archive = layout.archive_directory(topic, partition)

    def newest(self) -> CommitRecord | None:
        """The newest roll, None before the first one. Raises: HistoryDamaged when its record can't be read."""
        for _ in range(_LOOKS):
            keys = self._keys()
            if not keys:
                return None
            record = self._read(max(keys))
            if record is not None:
                return record
        raise StorageUnavailable(f"{self._directory}: the newest record was gone {_LOOKS} times when it was to be read")

    def publish(self, source: str, record: CommitRecord) -> list[int]:
        """Commits a roll whose record and files are uploaded; gives the keys of all records in the directory.

        When this returns the roll is committed, and no other writer's can be, from its key. It may be called again for
        a roll that is committed. Raises: RollAlreadyExists when another writer was first; then this roll is either not
        committed, or it is and that writer has completed it.
        """
        self._rename_record(source, record)
        keys = self._keys()
        if keys and max(keys) > record.key:
            raise RollAlreadyExists(
                f"{self._name()}: another writer has gone on to offset {max(keys)} while this one stood at {record.key}"
            )
        if record.key not in keys:  # a NameNode that was just replaced may still answer reads, from the past
            raise StorageUnavailable(f"{self._directory}: the listing does not show {record.key:020d}.json yet")
        return keys

    def complete(self, file: CommittedFile) -> bool:
        """Moves a file of a committed roll from its upload to its place; one that was moved before is fine.

        False when it is neither here nor there. Raises: HistoryDamaged when something else is in its place.
        """
        directory = str(PurePosixPath(file.target).parent)
        for _ in range(_LOOKS):
            with suppress(StorageRefused):
                self._storage.rename(file.source, file.target)
                return True
            if self._storage.exists(file.target):
                if not self._storage.exists(file.source):
                    return True
                continue  # somebody is just doing it, between a hard link and the unlink
            # Not even a look at the source is trusted: a NameNode that was just replaced may still answer reads, from
            # the past. Refused with the directory there, the source is gone.
            self._storage.make_directory(directory)
        if self._storage.exists(file.target):
            raise HistoryDamaged(f"{file.target} is not what was committed, which still lies in {file.source}")
        return False

    def clear_uploads(self, key: int) -> None:
        """Removes what is left of uploads that were to be committed under this key or an earlier one.

        Only for the writer that has committed that key and completed its roll: nobody else can commit them any more.
        """
        for entry in self._storage.entries(self._uploads):
            upload_key = layout.parse_upload_name(entry.name)
            if upload_key is not None and upload_key <= key:
                self._storage.delete(f"{self._uploads}/{entry.name}")

    def archive(self, keys: list[int], scratch: str) -> None:
        """Moves the oldest of many records to the archive; `scratch` is an upload directory of the caller.

        May break off anywhere: records are taken away after the archive has them.
        """
        if len(keys) < _KEPT + _ARCHIVED_AT_ONCE:
            return
        old = sorted(keys)[:-_KEPT]
        names = [layout.parse_archive_name(entry.name) for entry in self._storage.entries(self._archive)]
        archived = max((name[1] for name in names if name), default=-1)
        fresh = [key for key in old if key > archived]
        if fresh:
            records = [self._read(key) for key in fresh]
            if None in records:
                return  # somebody else is at it
            source = f"{scratch}/archive"
            target = f"{self._archive}/{layout.archive_name(fresh[0], fresh[-1])}"
            content = b"".join(record.to_json() for record in records if record)
            self._storage.write(source, Body([content]))
            if self._storage.read(source) != content:
                raise StorageUnavailable(f"{source} is not what was written")
            self._storage.make_directory(self._archive)
            self._storage.rename(source, target)
        for key in old:
            self._storage.delete(layout.commit_path(self._topic, self._partition, key))

    def all(self) -> tuple[list[CommitRecord], list[tuple[str, str]]]:
        """All rolls there ever were, in order; and what can't be read, as path and reason."""
        records: dict[int, CommitRecord] = {}
        unreadable: list[tuple[str, str]] = []
        for key in self._keys():  # before the archive: what is moved there meanwhile is found there
            try:
                record = self._read(key)
            except HistoryDamaged as error:
                unreadable.append((layout.commit_path(self._topic, self._partition, key), str(error)))
                continue
            if record is not None:
                records[key] = record
        for entry in sorted(self._storage.entries(self._archive)):
            if layout.parse_archive_name(entry.name) is None:
                continue
            path = f"{self._archive}/{entry.name}"
            for line in (self._storage.read(path) or b"").splitlines():
                try:
                    record = CommitRecord.from_json(line)
                except ValueError as error:
                    unreadable.append((path, str(error)))
                else:
                    records[record.key] = record  # one in the directory of that key came after, and never counted
        return [records[key] for key in sorted(records)], unreadable

    def _rename_record(self, source: str, record: CommitRecord) -> None:
        """Gives the record its final name, or finds out that it has it, or why it can't."""
        target = layout.commit_path(self._topic, self._partition, record.key)
        for _ in range(_LOOKS):
            with suppress(StorageRefused):
                self._storage.rename(source, target)
                return
            waiting = self._storage.exists(source)  # looked at first: once it is gone, it is at its target or nowhere
            existing = self._read(record.key)
            if existing is not None and existing.upload == record.upload:
                return  # an earlier call did it, whose answer was lost
            if existing is not None:
                raise RollAlreadyExists(
                    f"{self._name()}: offsets {existing.first} to {existing.last} were committed by another writer "
                    f"({existing.writer}) while this one ({record.writer}) stood at {record.key}"
                )
            if not waiting:
                raise RollAlreadyExists(
                    f"{self._name()}: the upload {source} was cleared away: another writer went on from {record.key}"
                )
            self._storage.make_directory(self._directory)  # before the first roll there is none
        raise StorageUnavailable(f"{target}: the rename is refused, and yet nothing is seen there")

    def _keys(self) -> list[int]:
        names = [layout.parse_commit_name(entry.name) for entry in self._storage.entries(self._directory)]
        return [key for key in names if key is not None]

    def _read(self, key: int) -> CommitRecord | None:
        path = layout.commit_path(self._topic, self._partition, key)
        data = self._storage.read(path)
        if data is None:
            return None
        try:
            return CommitRecord.from_json(data)
        except ValueError as error:
            raise HistoryDamaged(f"{path}: {error}") from error

    def _name(self) -> str:
        return f"{self._topic}[{self._partition}]"
