"""Stream time of one partition: which windows are open, decided by the records alone.

The clock shows the window (its start, epoch seconds) of the newest arrival so far, so it is a function of the offset:
no wall clock, and the same in a replay. Each step is kept as an `Epoch` with the offsets that it covers; epochs follow
each other without overlap, which lets a replay set the clock back to what it showed at any retained offset. An epoch
also counts the records that were left outside the windows while it lasted: those counts have its lifetime and are
rebuilt with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from tables import keys
from tables.reader import Changes, Reader

_NEVER = -(1 << 62)


class Epoch(NamedTuple):
    """One step of stream time."""

    start_s: int
    first: int  # offsets
    last: int
    outside: dict[str, dict[str, int]]  # table -> {"expired": records, "future": records}

    def encode(self) -> bytes:
        """The stored form, without the start, which is in the key."""
        return orjson.dumps((self.first, self.last, self.outside))

    @classmethod
    def decode(cls, start_s: int, stored: bytes) -> Epoch:
        """What `encode` has stored."""
        return cls(start_s, *orjson.loads(stored))


def epochs(reader: Reader, start_s: int = 0) -> Iterator[Epoch]:
    """The retained steps of a partition's stream time from `start_s` on, oldest first."""
    for key, value in reader.range(keys.epoch_key(start_s), keys.EPOCHS_END):
        yield Epoch.decode(keys.epoch_start(key), value)


def shown(reader: Reader) -> int | None:
    """What a partition's clock shows, epoch seconds; None before its first record."""
    stored = reader.get(keys.CLOCK)
    return None if stored is None else keys.unpack_start(stored)


class StreamClock:
    """The clock of one partition, moved by its records in the order of their offsets."""

    def __init__(self, reader: Reader, window_s: int) -> None:
        self._reader = reader
        self._window_s = window_s
        self.clear()

    def clear(self) -> None:
        """Forget everything: the store is what counts, and is read by `load`."""
        self._loaded = False
        self._current: Epoch | None = None
        self._passed: list[Epoch] = []
        self.due_ms = _NEVER  # an arrival at or after this one moves the clock
        self.covered = -1  # offsets up to here are counted in the current epoch already

    def load(self) -> None:
        """Set the clock to what the store has, if that is not done yet."""
        if self._loaded:
            return
        self._loaded = True
        start_s = shown(self._reader)
        if start_s is not None:
            stored = self._reader.get(keys.epoch_key(start_s))
            self._set(Epoch(start_s, 0, -1, {}) if stored is None else Epoch.decode(start_s, stored))

    @property
    def start_s(self) -> int | None:
        """What the clock shows; None before the first record."""
        return None if self._current is None else self._current.start_s

    def advance(self, arrival_ms: int, offset: int, previous: int) -> None:
        """Move on to the arrival of the record at `offset`, the one before having been at `previous`."""
        if self._current is not None:
            self._passed.append(self._current._replace(last=max(previous, self._current.last)))
        self._set(Epoch(arrival_ms // (self._window_s * 1000) * self._window_s, offset, -1, {}))

    def leave_outside(self, table: str, kind: str, offset: int) -> None:
        """Count a record that no window takes, unless the epoch has counted `offset` already."""
        if self._current is None or offset <= self.covered:
            return
        counts = self._current.outside.setdefault(table, {"expired": 0, "future": 0})
        counts[kind] += 1

    def collect(self, changes: Changes, last: int, floor_s: int) -> None:
        """Put what has changed among `changes`; `last` is the offset of the newest record.

        Epochs that have passed and start before `floor_s` are out of the retention: they are left to the sweeper.
        """
        if self._current is None or last <= self.covered:
            return
        self._current = self._current._replace(last=last)
        self.covered = last
        for epoch in self._passed:
            if epoch.start_s >= floor_s:
                changes[keys.epoch_key(epoch.start_s)] = epoch.encode()
        self._passed.clear()
        changes[keys.epoch_key(self._current.start_s)] = self._current.encode()
        changes[keys.CLOCK] = keys.pack_start(self._current.start_s)

    def _set(self, epoch: Epoch) -> None:
        self._current = epoch
        self.covered = epoch.last
        self.due_ms = (epoch.start_s + self._window_s) * 1000
