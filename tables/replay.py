"""Replay: which windows are built anew from an offset, and where reading has to begin for that."""

from __future__ import annotations

from typing import NamedTuple

from tables import keys
from tables.clock import epochs
from tables.reader import Changes, Reader
from tables.retention import delete_window
from tables.window import Meta


class Rewind(NamedTuple):
    """Where to read from, and what goes from the store first."""

    start_offset: int
    changes: Changes


def rewind(reader: Reader, offset: int, log_start: int) -> Rewind:
    """Prepare a partition to be processed again from `offset`, to the same result where nothing else has changed.

    Every window that has counted a record at or after `offset` is deleted, and reading starts at the first record of
    any of them. A window that was begun before `log_start`, the first offset that Kafka still has, stays: it is right,
    it cannot be built again, and its last offset keeps records from counting twice. So do windows that ended before
    `offset`. The clock and the counts outside windows go back to the beginning of the epoch that holds the start.
    """
    changes: Changes = {}
    wanted = max(offset, log_start)
    start = wanted
    for key, value in reader.range(keys.META, keys.METAS_END):
        meta = Meta.decode(value)
        if meta.last >= wanted and meta.first >= log_start:
            start_s, table = keys.split_meta_key(key)
            delete_window(reader, table, start_s, meta, changes)
            start = min(start, meta.first)
    clock: int | None = None
    rebuilt = []
    for epoch in epochs(reader):
        if epoch.last >= start and epoch.first >= log_start:
            rebuilt.append(epoch)
        else:
            clock = epoch.start_s
    for epoch in rebuilt:
        changes[keys.epoch_key(epoch.start_s)] = None
        start = min(start, epoch.first)
    changes[keys.CLOCK] = None if clock is None else keys.pack_start(clock)
    return Rewind(start, changes)
