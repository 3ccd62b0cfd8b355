"""Windows that go: what is older than the retention, in bounded steps."""

from __future__ import annotations

from collections.abc import Collection

from tables import keys
from tables.reader import Changes, Reader
from tables.window import Meta


def delete_window(
    reader: Reader, table: str, start_s: int, meta: Meta, changes: Changes, limit: int | None = None
) -> bool:
    """Delete a window, its meta last, until there are `limit` changes; returns whether all of it went."""
    for family in meta.key_counts:
        end = keys.window_prefix(table, family, start_s + 1)
        for key, _ in reader.range(keys.window_prefix(table, family, start_s), end):
            if limit is not None and len(changes) >= limit:
                return False
            changes[key] = None
    changes[keys.meta_key(start_s, table)] = None
    return True


class Sweeper:
    """Deletes the windows and epochs of one partition that start before the floor, oldest first, whoever made them."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.clear()

    def clear(self) -> None:
        """Forget how far it has come."""
        self._swept_s = 0  # nothing is left below; scanning starts here, as deleted keys make a scan slow

    def sweep(
        self, floor_s: int, limit: int, entered: Collection[tuple[str, int]]
    ) -> tuple[Changes, list[tuple[str, int]]]:
        """At most `limit` deletions of keys, and the windows (table, start) that they end.

        `entered` are windows before the floor that the same batch has changed: they are left for the next one.
        """
        changes: Changes = {}
        gone: list[tuple[str, int]] = []
        if floor_s <= self._swept_s:
            return changes, gone
        done = not entered
        for key, value in self._reader.range(keys.meta_key(self._swept_s, ""), keys.meta_key(floor_s, "")):
            start_s, table = keys.split_meta_key(key)
            if (table, start_s) in entered:
                continue
            if len(changes) >= limit or not delete_window(
                self._reader, table, start_s, Meta.decode(value), changes, limit
            ):
                done = False
                break
            gone.append((table, start_s))
        for key, _ in self._reader.range(keys.epoch_key(self._swept_s), keys.epoch_key(floor_s)):
            changes[key] = None
        if done:
            self._swept_s = floor_s
        return changes, gone
