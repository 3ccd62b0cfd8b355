"""The spool's database: entries in the order in which they came, each on disk before anybody is told so."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from sources.errors import SpoolUnusable
from sources.spool.entry import Entry, decode, decode_head

log = logging.getLogger(__name__)

_MEBIBYTE = 1 << 20
_ENTRY = b"e"  # entries' keys: this and their number, 8 bytes, in the order in which they came
_END = b"f"
_HELD = b"held"  # how much there is of each source, as JSON; moves together with the entries
# What is delivered is given back to the disk whenever it is so much.
_COMPACT_BYTES = 64 * _MEBIBYTE
# What the machine refuses, as against a database that is torn; RocksDB has no other way to tell than its text.
_REFUSALS = ("No space left", "Disk quota", "Permission denied", "Read-only file system", "Too many open files")


@dataclass(slots=True)
class Held:
    """How much there is of one source."""

    events: int = 0
    n_bytes: int = 0


class Stored(NamedTuple):
    """An entry that is on disk."""

    number: int
    n_bytes: int
    entry: Entry


class New(NamedTuple):
    """An entry that is to be stored."""

    source: str
    n_events: int
    stored: bytes


class SpoolStore:
    """Entries on disk, first in, first out. Blocking; for one thread, but others may look at the public attributes.

    Guarantee: what `append` has returned for survives SIGKILL, and a loss of power as far as the disk keeps what it
    has synced. A write that was torn is not there after the next start, and with it nothing that was told to be there.

    Raises SpoolUnusable where the folder can't be used. A database that is damaged is set aside, never deleted, as it
    holds events that nobody else may have.
    """

    def __init__(self, path: Path, clock_ms: int) -> None:
        self.path = path
        self._opened_at_ms = clock_ms
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolUnusable(path, error.strerror or str(error)) from error
        self._db = self._open()
        self._synced = WriteOptions()
        self._synced.sync = True
        self.held = self._read_held()
        first, last = self._edge(), self._edge(backwards=True)
        self.first = first if first is not None else 0  # of the oldest entry; equal to `next` where there is none
        self.next = last + 1 if last is not None else 0
        self.oldest_at_ms: int | None = None
        self._find_oldest()
        self._removed_bytes = 0
        self._unremoved = False

    @property
    def n_bytes(self) -> int:
        """All that is held."""
        return sum(held.n_bytes for held in self.held.values())

    def append(self, entries: Sequence[New]) -> None:
        """Store entries, all or none, behind all others, and sync them to the disk once.

        Raises whatever the database does, with nothing stored; on a full disk it takes entries again when there is
        room.
        """
        batch = WriteBatch(raw_mode=True)
        held = {name: Held(each.events, each.n_bytes) for name, each in self.held.items()}
        for number, new in enumerate(entries, self.next):
            batch.put(_key(number), new.stored)
            of_source = held.setdefault(new.source, Held())
            of_source.events += new.n_events
            of_source.n_bytes += len(new.stored)
        if self._unremoved:
            batch.delete_range(_ENTRY, _key(self.first))
        batch.put(_HELD, _held_json(held))
        self._db.write(batch, self._synced)
        self._unremoved = False
        self.held = held
        empty = self.first == self.next
        self.next += len(entries)
        if empty and entries:
            self.oldest_at_ms = decode_head(entries[0].stored).arrived_at_ms

    def read(self, max_bytes: int, within_ms: int) -> list[Stored]:
        """The oldest entries: at least one, no more than `max_bytes`, and arrived within so long of the first."""
        chunk: list[Stored] = []
        total = 0
        for key, value in self._db.items(from_key=_key(self.first)):
            if key >= _END:
                break
            total += len(value)
            if chunk and total > max_bytes:
                break
            entry = decode(value)
            if chunk and abs(entry.arrived_at_ms - chunk[0].entry.arrived_at_ms) > within_ms:
                break
            chunk.append(Stored(int.from_bytes(key[1:], "big"), len(value), entry))
        return chunk

    def remove(self, chunk: Sequence[Stored]) -> None:
        """Forget the oldest entries, which are delivered. After a loss of power they may be there again.

        On a full disk they are forgotten until the next start only; raises nothing.
        """
        held = {name: Held(each.events, each.n_bytes) for name, each in self.held.items()}
        for stored in chunk:
            of_source = held[stored.entry.source]
            of_source.events -= len(stored.entry.events)
            of_source.n_bytes -= stored.n_bytes
            self._removed_bytes += stored.n_bytes
        self.held = {name: each for name, each in held.items() if each.n_bytes}
        self.first = chunk[-1].number + 1
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(_ENTRY, _key(self.first))
        batch.put(_HELD, _held_json(self.held))
        try:
            self._db.write(batch)
        except Exception as error:  # rocksdict has no classes of errors
            if not self._unremoved:
                log.warning("Delivered events stay in %s for now: %s", self.path, error)
            self._unremoved = True
        else:
            self._unremoved = False
        self._find_oldest()
        empty = self.first == self.next
        if empty and self._unremoved:
            self._start_over()
        elif self._removed_bytes >= _COMPACT_BYTES or (empty and self._removed_bytes >= _MEBIBYTE):
            self._removed_bytes = 0
            with contextlib.suppress(Exception):  # it only gives room back; it is tried again
                self._db.compact_range(_ENTRY, _key(self.first))

    def close(self) -> None:
        """Flush and close; the lock is gone afterwards."""
        self._db.close()

    def _start_over(self) -> None:
        """All is delivered, and the disk is too full even to say so: give back the room."""
        with contextlib.suppress(Exception):  # it flushes first, and can't
            self._db.close()
        try:
            del self._db
            shutil.rmtree(self.path)
        finally:
            self._db = self._open()
            self.first = self.next = 0
        self._unremoved = False

    def _open(self) -> Rdict:
        try:
            return self._opened()
        except Exception as error:
            if "lock file" in str(error) or "lock hold by" in str(error):
                raise SpoolUnusable(
                    self.path, "another process has it open: give each worker its own SLUICE_DATA_DIR"
                ) from error
            if any(refusal in str(error) for refusal in _REFUSALS):
                raise SpoolUnusable(self.path, str(error)) from error
            aside = self.path.with_suffix(f".broken-{self._opened_at_ms}")
            log.error(
                "The spool %s cannot be opened and is set aside as %s, with events that may be in no other place: %s",
                self.path, aside, " ".join(str(error).split()),
            )  # fmt: skip
            self.path.rename(aside)
        try:
            return self._opened()
        except Exception as error:
            raise SpoolUnusable(self.path, str(error)) from error

    def _opened(self) -> Rdict:
        return Rdict(str(self.path), options=_options(), access_type=AccessType.read_write())

    def _read_held(self) -> dict[str, Held]:
        stored = self._db.get(_HELD)
        told: dict[str, list[int]] = orjson.loads(stored) if stored is not None else {}
        return {name: Held(*counts) for name, counts in told.items()}

    def _edge(self, *, backwards: bool = False) -> int | None:
        start = _END if backwards else _ENTRY
        for key in self._db.keys(from_key=start, backwards=backwards):
            return int.from_bytes(key[1:], "big") if key[:1] == _ENTRY else None
        return None

    def _find_oldest(self) -> None:
        stored = self._db.get(_key(self.first)) if self.first < self.next else None
        self.oldest_at_ms = decode_head(stored).arrived_at_ms if stored is not None else None


def _key(number: int) -> bytes:
    return _ENTRY + number.to_bytes(8, "big")


def _held_json(held: dict[str, Held]) -> bytes:
    return orjson.dumps({name: [each.events, each.n_bytes] for name, each in held.items()})


def _options() -> Any:
    """Small: what is kept here is written once and read once."""
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    table = BlockBasedOptions()
    table.set_block_cache(Cache(4 * _MEBIBYTE))
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(8 * _MEBIBYTE)
    options.set_max_write_buffer_number(2)
    options.set_max_background_jobs(1)
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    options.set_max_log_file_size(_MEBIBYTE)
    options.set_max_total_wal_size(32 * _MEBIBYTE)
    return options
