"""Local state on RocksDB: a copy of each changelog partition, disposable because Kafka has it.

One database a worker process, keys prefixed by the partition, so that memory and file handles do not grow with the
number of partitions. Each `apply` is one WriteBatch: the changes and the changelog position move together. A directory
that is deleted or damaged, also while it is in use, is replaced by an empty one, which is filled from the changelog.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streaming.errors import StoreLocked, StoreLost, StoreUnusable, StoreUnwritable

log = logging.getLogger(__name__)

_POSITION = b"\x00position"  # next changelog offset to read; local only
_WRITTEN_AT = b"\x00written-at"  # epoch ms of the newest apply; local only
# What the machine refuses, as against a database that is torn; RocksDB has no other way to tell than its text.
_REFUSALS = ("No space left", "Disk quota", "Permission denied", "Read-only file system", "Too many open files")
_DAMAGES = ("Corruption", "No such file", "lock hold by")
# Kafka drops tombstones of a compacted topic after delete.retention.ms (a day by default): a copy that slept longer
# may have missed one and is built anew.
MAX_SLEEP_MS = 12 * 3600 * 1000


class Reader(Protocol):
    """What may be asked of the state of one partition."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < end, in byte order."""


class PartitionStore:
    """The state of one changelog partition. Reads from any thread; one writer at a time.

    Every call raises StoreLost once the database was found deleted or damaged; `Store.partition` then gives an empty
    one. A lost one never takes a write, so that nobody writes the end of the changelog into an empty copy.
    """

    def __init__(self, store: Store, db: Rdict, partition: int) -> None:
        self._store = store
        self._db = db
        self._prefix = partition.to_bytes(4, "big")
        self.partition = partition

    def get(self, key: bytes) -> bytes | None:
        """Return the value of `key`, or None."""
        try:
            value: bytes | None = self._db.get(self._prefix + key)
        except Exception as exc:  # rocksdict has no classes of errors
            raise self._store.trouble(self._db, "read", exc) from exc
        return value

    def range(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the pairs with start <= key < end, in byte order, as of the beginning of the iteration."""
        last, stop = self._prefix + start, self._prefix + end
        try:
            for key, value in self._db.items(from_key=last):
                if key >= stop:
                    return
                last = key
                yield key[4:], value
            self._check_end(last)
        except GeneratorExit:
            raise
        except Exception as exc:
            raise self._store.trouble(self._db, "read", exc) from exc

    def _check_end(self, last: bytes) -> None:
        """An iteration that meets a damaged block just ends, as if there were no more: ask why it did."""
        iterator = self._db.iter()
        iterator.seek(last)
        while iterator.valid():
            iterator.next()
        iterator.status()

    def apply(self, changes: Mapping[bytes, bytes | None], position: int) -> None:
        """Write changes (None deletes) and the changelog position that they lead to, all or nothing.

        Raises StoreLost, or StoreUnwritable with nothing written. On a full disk RocksDB looks for room every five
        seconds, and then takes writes again by itself.
        """
        self.check()
        batch = WriteBatch(raw_mode=True)
        prefix, put, delete = self._prefix, batch.put, batch.delete
        for key, value in changes.items():
            if value is None:
                delete(prefix + key)
            else:
                put(prefix + key, value)
        put(prefix + _POSITION, b"%d" % position)
        put(prefix + _WRITTEN_AT, b"%d" % self._store.clock_ms())
        try:
            self._db.write(batch)
        except Exception as exc:
            raise self._store.trouble(self._db, "written", exc) from exc

    def check(self) -> None:
        """Raise StoreLost where the database's directory is not there any more; costs some microseconds."""
        self._store.check(self._db)

    def position(self) -> int | None:
        """Next changelog offset to read, None for an empty (or cleared) copy."""
        value = self.get(_POSITION)
        return int(value) if value is not None else None

    def usable(self) -> bool:
        """Whether the copy is young enough to be continued."""
        written_at = self.get(_WRITTEN_AT)
        return written_at is None or self._store.clock_ms() - int(written_at) < MAX_SLEEP_MS

    def clear(self) -> None:
        """Forget everything of this partition. Raises StoreLost, StoreUnwritable."""
        end = (self.partition + 1).to_bytes(4, "big")
        try:
            self._db.delete_range(self._prefix, end)
        except Exception as exc:
            raise self._store.trouble(self._db, "cleared", exc) from exc


class Store:
    """The database of one worker process.

    Raises StoreLocked where another process has it open, StoreUnusable where the machine does not let us. A database
    that cannot be opened (torn, half deleted) is set aside as `<name>.broken-<ms>`, in place of an earlier one, and
    built anew from the changelog.
    """

    def __init__(self, path: Path, *, clock_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self.path = path
        self.clock_ms = clock_ms
        self._partitions: dict[int, PartitionStore] = {}
        self._lock = threading.RLock()
        self._closed = self._lost = False
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
            self._set_aside("cannot be opened", exc)
        try:
            return self._opened()
        except Exception as exc:
            raise StoreUnusable(f"{self.path} cannot be made (SLUICE_DATA_DIR): {exc}") from exc

    def _opened(self) -> Rdict:
        db = Rdict(str(self.path), options=_options(), access_type=AccessType.read_write())
        self._identity = self._identify()
        return db

    def _identify(self) -> tuple[int, int] | None:
        """What tells this directory from one that was put into its place."""
        try:
            found = (self.path / "LOCK").stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _set_aside(self, trouble: str, exc: Exception) -> None:
        for earlier in self.path.parent.glob(f"{self.path.name}.broken-*"):
            shutil.rmtree(earlier, ignore_errors=True)
        aside = self.path.with_suffix(f".broken-{self.clock_ms()}")
        reason = " ".join(str(exc).split())
        log.warning("State at %s %s (%s); set aside as %s, rebuilding from Kafka", self.path, trouble, reason, aside)
        self.path.rename(aside)

    def partition(self, number: int) -> PartitionStore:
        """Return the state of one partition. Raises StoreUnwritable while a lost database cannot be replaced yet."""
        store = self._partitions.get(number)
        if store is None:
            with self._lock:
                if self._lost:
                    self._replace()
                store = self._partitions[number] = PartitionStore(self, self._db, number)
        return store

    def _replace(self) -> None:
        try:
            self._db = self._open()
        except (StoreLocked, StoreUnusable, OSError) as exc:  # locked: by a reader that has not ended yet
            raise StoreUnwritable(f"local state cannot be replaced yet: {exc}") from exc
        self._lost = False

    def check(self, db: Rdict) -> None:
        """Raise StoreLost where `db` is not this store's any more, or its directory is gone."""
        if db is self._db and not self._lost and self._identify() == self._identity:
            return
        raise self.trouble(db, "found", FileNotFoundError(f"No such file or directory: {self.path}"))

    def trouble(self, db: Rdict, doing: str, exc: Exception) -> StoreUnwritable:
        """What to raise for what RocksDB said; a database that is deleted or damaged is given up here, and said so."""
        with self._lock:
            if self._closed:
                return StoreUnwritable(f"local state could not be {doing}: it is closed")
            if db is not self._db or self._lost:
                return StoreLost("local state was replaced by an empty one, which is filled from Kafka")
            deleted = self._identify() != self._identity
            if not deleted and not any(damage in str(exc) for damage in _DAMAGES):
                return StoreUnwritable(f"local state could not be {doing}: {exc}")
            self._lost = True
            self._partitions.clear()
            _close(db)
            if deleted:
                log.warning("State at %s was deleted while in use, rebuilding from Kafka", self.path)
            else:
                self._set_aside("is damaged", exc)
            return StoreLost(f"local state was {'deleted' if deleted else 'damaged'}, and is built anew from Kafka")

    def close(self) -> None:
        """Flush and close; the lock is gone afterwards. What could not be flushed is read again from Kafka."""
        with self._lock:
            self._closed = True
            self._partitions.clear()
            failed = None if self._lost else _close(self._db)
        if failed is not None:
            log.warning("State at %s could not be flushed: %s", self.path, failed)


def _close(db: Rdict) -> Exception | None:
    try:
        db.close()
    except Exception as exc:
        return exc
    return None


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
