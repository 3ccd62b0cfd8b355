"""Tumbling windows of one table and partition, between the store and the records.

A window is built from records in the order of their offsets, and remembers in its meta the first and the last offset
that it has counted. A record at or below the last one is not counted again, so processing twice is the same as once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import orjson

from tables import keys
from tables.reader import Changes, Reader


class Slot:
    """What one key of a window has counted. Subclasses add the counters."""

    __slots__ = ("key", "touched")
    key: bytes  # in the store
    touched: bool  # counted something that is not among the changes yet

    def encode(self) -> bytes:
        """The stored form: a function of the records alone, never of how they were batched."""
        raise NotImplementedError


K = TypeVar("K")
S = TypeVar("S", bound=Slot)


@dataclass(frozen=True, slots=True)
class Family(Generic[K, S]):
    """One way in which a table keys its records."""

    code: str  # one character, in the store's keys
    other: K  # counts what comes after `max_keys` keys
    names: Callable[[K], Any]  # what of a key is stored, JSON-ready
    new: Callable[[], S]
    decode: Callable[[bytes], S]


class Meta(NamedTuple):
    """What a window was built from."""

    first: int  # offsets
    last: int
    key_counts: dict[str, int]  # by family's code; `other` not counted

    def encode(self) -> bytes:
        """The stored form."""
        return orjson.dumps((self.first, self.last, self.key_counts))

    @classmethod
    def decode(cls, stored: bytes) -> Meta:
        """What `encode` has stored."""
        return cls(*orjson.loads(stored))


class Shelf(Generic[K, S]):
    """The keys of one window in one family, read from the store as they are needed."""

    __slots__ = (
        "_complete",
        "_end",
        "_family",
        "_packed",
        "_prefix",
        "_reader",
        "key_count",
        "max_keys",
        "slots",
        "touched",
    )

    def __init__(
        self,
        family: Family[K, S],
        table: str,
        start_s: int,
        reader: Reader,
        key_count: int,
        max_keys: int,
        complete: bool,
    ) -> None:
        self.slots: dict[K, S] = {}  # by key as it comes, for speed: never the only place of a slot
        self.touched: list[S] = []
        self.key_count = key_count
        self.max_keys = max_keys
        self._family = family
        self._prefix = keys.window_prefix(table, family.code, start_s)
        self._end = keys.window_prefix(table, family.code, start_s + 1)
        self._reader = reader
        self._packed: dict[bytes, S] = {}  # by stored key: two keys that are stored alike are one
        self._complete = complete  # everything that the store has is here

    def find(self, key: K) -> S:
        """The slot that counts `key`, marked as touched: its own, or `other` where the window is full."""
        slot = self.slots.get(key)
        if slot is None:
            slot = self._admit(key)
        if not slot.touched:
            slot.touched = True
            self.touched.append(slot)
        return slot

    def __len__(self) -> int:
        return len(self._packed)

    def _admit(self, key: K) -> S:
        packed = keys.encode_names(self._family.names(key))
        slot = self._packed.get(packed)
        if slot is None and not self._complete:
            slot = self._load(packed)
        if slot is None:
            if self.key_count >= self.max_keys:
                return self._other()
            self.key_count += 1
            slot = self._put(packed, self._family.new())
        if len(self.slots) <= 2 * self.max_keys:
            self.slots[key] = slot
        return slot

    def _load(self, packed: bytes) -> S | None:
        if self.key_count < self.max_keys:
            value = self._reader.get(self._prefix + packed)
            return None if value is None else self._put(packed, self._family.decode(value))
        # Full: from here on most keys are strangers, and each would cost a read.
        at = len(self._prefix)
        for stored_key, value in self._reader.range(self._prefix, self._end):
            if stored_key[at:] not in self._packed:
                self._put(stored_key[at:], self._family.decode(value))
        self._complete = True
        return self._packed.get(packed)

    def _other(self) -> S:
        packed = keys.encode_names(self._family.names(self._family.other))
        slot = self._packed.get(packed)
        return self._put(packed, self._family.new()) if slot is None else slot

    def _put(self, packed: bytes, slot: S) -> S:
        slot.key = self._prefix + packed
        slot.touched = False
        self._packed[packed] = slot
        return slot


class Window:
    """One window: what it was built from, and a shelf for each family of its table."""

    __slots__ = ("first", "last", "shelves", "start_s")

    def __init__(self, start_s: int, first: int, last: int, shelves: tuple[Shelf[Any, Any], ...]) -> None:
        self.start_s = start_s
        self.first = first
        self.last = last  # the newest offset that is counted
        self.shelves = shelves

    def count(self, offsets: Sequence[int]) -> int:
        """Note ascending offsets as counted; returns how many at the beginning were so before."""
        counted = bisect_right(offsets, self.last) if offsets[0] <= self.last else 0
        self.last = max(self.last, offsets[-1])
        return counted


class WindowTable:
    """The windows of one table and partition, the hot ones decoded in memory.

    What `collect` has put among the changes counts as committed from then on; where it is not, `clear` forgets it.
    """

    def __init__(self, name: str, families: Sequence[Family[Any, Any]], reader: Reader, max_keys: int) -> None:
        self.name = name
        self._families = tuple(families)
        self._reader = reader
        self._max_keys = max_keys
        # Two full windows of every family and some: the current one, and the one that late lines still go to.
        self._cached_keys = 3 * max(max_keys, 100) * len(self._families)
        self._hot: OrderedDict[int, Window] = OrderedDict()
        self._entered: dict[int, Window] = {}

    def enter(self, start_s: int, offset: int) -> Window:
        """The window that starts at `start_s`, for the record at `offset`; new if there is none."""
        window = self._hot.get(start_s)
        if window is None:
            window = self._hot[start_s] = self._open(start_s, offset)
        self._entered[start_s] = window
        return window

    @property
    def entered(self) -> Iterable[int]:
        """The starts of the windows entered since the last `collect`."""
        return self._entered

    def collect(self, changes: Changes) -> None:
        """Put everything touched since the last time among `changes`, and forget windows that are no longer hot."""
        for start_s, window in self._entered.items():
            self._hot.move_to_end(start_s)
            changed = False
            for shelf in window.shelves:
                for slot in shelf.touched:
                    changes[slot.key] = slot.encode()
                    slot.touched = False
                    changed = True
                shelf.touched.clear()
            if changed:
                counts = {
                    family.code: shelf.key_count for family, shelf in zip(self._families, window.shelves, strict=True)
                }
                changes[keys.meta_key(start_s, self.name)] = Meta(window.first, window.last, counts).encode()
        self._entered.clear()
        self._cool()

    def forget(self, start_s: int) -> None:
        """Forget a window that is deleted from the store."""
        self._hot.pop(start_s, None)

    def clear(self) -> None:
        """Forget everything: the store is what counts."""
        self._hot.clear()
        self._entered.clear()

    def _open(self, start_s: int, offset: int) -> Window:
        stored = self._reader.get(keys.meta_key(start_s, self.name))
        meta = Meta(offset, -1, {}) if stored is None else Meta.decode(stored)
        shelves = tuple(
            Shelf(
                family,
                self.name,
                start_s,
                self._reader,
                meta.key_counts.get(family.code, 0),
                self._max_keys,
                stored is None,
            )
            for family in self._families
        )
        return Window(start_s, meta.first, meta.last, shelves)

    def _cool(self) -> None:
        held = sum(len(shelf) for window in self._hot.values() for shelf in window.shelves)
        while held > self._cached_keys and len(self._hot) > 1:
            _, window = self._hot.popitem(last=False)
            held -= sum(len(shelf) for shelf in window.shelves)
