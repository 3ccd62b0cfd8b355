"""Local state on RocksDB: a copy of each changelog partition, disposable because Kafka has it.

One database a worker process, keys prefixed by the partition, so that memory and file handles do not grow with the
number of partitions. Each `apply` is one WriteBatch: the changes and the changelog position move together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streaming.errors import StoreLocked, StoreUnusable, StoreUnwritable

log = logging.getLogger(__name__)

_POSITION = b"\x00position"  # next changelog offset to read; local only
_WRITTEN_AT = b"\x00written-at"  # epoch ms of the newest apply; local only
# Kafka drops tombstones of a compacted topic after delete.retention.ms (a day by default): a copy that slept longer
# may have missed one and is built anew.
# What the machine refuses, as against a database that is torn; RocksDB has no other way to tell than its text.
_REFUSALS = ("No space left", "Disk quota", "Permission denied", "Read-only file system", "Too many open files")
MAX_SLEEP_MS = 12 * 3600 * 1000


class Reader(Protocol):
    """What may be asked of the state of one partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < end, in byte order."""


class PartitionStore:
    """The state of one changelog partition. Reads from any thread; one writer at a time."""

    def __init__(self, db: Rdict, partition: int, clock_ms: Callable[[], int]) -> None:
        self._db = db
        self._prefix = partition.to_bytes(4, "big")
        self._clock_ms = clock_ms
        self.partition = partition

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        value: bytes | None = self._db.get(self._prefix + key)
        return value

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < end, in byte order, as of the beginning of the iteration."""
        stop = self._prefix + end
        for key, value in self._db.items(from_key=self._prefix + start):
            if key >= stop:
                return
            yield key[4:], value

    def apply(self, changes: Mapping[bytes, bytes | None], position: int) -> None:
        """Write changes (None deletes) and the changelog position that they lead to, all or nothing.

        Raises StoreUnwritable with nothing written. On a full disk RocksDB looks for room every five seconds, and then
        takes writes again by itself.
        """
        batch = WriteBatch(raw_mode=True)
        prefix = self._prefix
        for key, value in changes.items():
            if value is None:
                batch.delete(prefix + key)
            else:
                batch.put(prefix + key, value)
        batch.put(prefix + _POSITION, b"%d" % position)
        batch.put(prefix + _WRITTEN_AT, b"%d" % self._clock_ms())
        try:
            self._db.write(batch)
        except Exception as exc:  # rocksdict has no classes of errors
            raise StoreUnwritable(f"local state could not be written: {exc}") from exc

    def position(self) -> int | None:
        """Next changelog offset to read, None for an empty (or cleared) copy."""
        value = self.get(_POSITION)
        return int(value) if value is not None else None

    def usable(self) -> bool:
        """Whether the copy is young enough to be continued."""
        written_at = self.get(_WRITTEN_AT)
        return written_at is None or self._clock_ms() - int(written_at) < MAX_SLEEP_MS

    def clear(self) -> None:
        """Forget everything of this partition. Raises StoreUnwritable."""
        end = (self.partition + 1).to_bytes(4, "big")
        try:
            self._db.delete_range(self._prefix, end)
        except Exception as exc:
            raise StoreUnwritable(f"local state could not be cleared: {exc}") from exc


class Store:
    """The database of one worker process.

    Raises StoreLocked where another process has it open, StoreUnusable where the machine does not let us. A database
    that cannot be opened (torn, half deleted) is set aside as `<name>.broken` and built anew from the changelog.
    """

    def __init__(self, path: Path, *, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self.path = path
        self._clock_ms = clock_ms
        self._partitions: dict[int, PartitionStore] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = self._open()
        except OSError as exc:
            raise StoreUnusable(f"{path} cannot be used (SLUICE_DATA_DIR): {exc.strerror or exc}") from exc

    def _open(self) -> Rdict:
        try:
            return self._opened()
        except Exception as exc:
            if any(refusal in str(exc) for refusal in _REFUSALS):
                raise StoreUnusable(f"{self.path} cannot be used (SLUICE_DATA_DIR): {exc}") from exc
            if "lock file" in str(exc) or "lock hold by" in str(exc):  # by another process, by this one
                raise StoreLocked(
                    f"{self.path} is open in another process: give each worker its own SLUICE_DATA_DIR"
                ) from exc
            aside = self.path.with_suffix(f".broken-{self._clock_ms()}")
            log.warning(
                "State at %s cannot be opened (%s); set aside as %s, rebuilding from Kafka", self.path, exc, aside
            )
            self.path.rename(aside)
        try:
            return self._opened()
        except Exception as exc:
            raise StoreUnusable(f"{self.path} cannot be made (SLUICE_DATA_DIR): {exc}") from exc

    def _opened(self) -> Rdict:
        return Rdict(str(self.path), options=_options(), access_type=AccessType.read_write())

    def partition(self, number: int) -> PartitionStore:
        """Return the state of one partition."""
        store = self._partitions.get(number)
        if store is None:
            store = self._partitions[number] = PartitionStore(self._db, number, self._clock_ms)
        return store

    def close(self) -> None:
        """Flush and close; the lock is gone afterwards. What could not be flushed is read again from Kafka."""
        self._partitions.clear()
        try:
            self._db.close()
        except Exception as exc:
            log.warning("State at %s could not be flushed: %s", self.path, exc)


def _options() -> Any:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(16 * 1024 * 1024))
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(8 * 1024 * 1024)
    options.set_max_write_buffer_number(2)
    options.set_max_background_jobs(1)
    options.set_max_open_files(128)
    options.set_keep_log_file_num(2)
    options.set_max_total_wal_size(32 * 1024 * 1024)
    return options
