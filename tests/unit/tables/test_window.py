"""Windows between the store and the records: the limit of keys, what is remembered, what is forgotten."""

from __future__ import annotations

import orjson

from tables import keys
from tables.memory import MemoryStore
from tables.window import Family, Meta, Slot, WindowTable


class Tick(Slot):
    """Counts."""

    __slots__ = ("count",)

    def __init__(self, count=0):
        self.count = count

    def encode(self):
        return b"%d" % self.count


TICKS = Family("t", "other", lambda key: key, Tick, lambda stored: Tick(int(stored)))


class Ticks:
    """A table of ticks, on a store in memory."""

    def __init__(self, max_keys=3):
        self.store = MemoryStore()
        self.table = WindowTable("ticks", (TICKS,), self.store, max_keys)
        self.offset = 0

    def tick(self, key, start_s=0):
        window = self.table.enter(start_s, self.offset)
        window.last = self.offset
        self.offset += 1
        window.shelves[0].find(key).count += 1

    def commit(self):
        changes = {}
        self.table.collect(changes)
        self.store.write(changes)
        return changes

    def counts(self, start_s=0):
        prefix = keys.window_prefix("ticks", "t", start_s)
        found = self.store.range(prefix, keys.window_prefix("ticks", "t", start_s + 1))
        return {orjson.loads(key[len(prefix) :]): int(value) for key, value in found}


def test_only_what_was_touched_is_among_the_changes():
    ticks = Ticks()
    ticks.tick("a")
    ticks.tick("b")
    ticks.commit()
    ticks.tick("a")
    prefix = keys.window_prefix("ticks", "t", 0)
    assert ticks.commit() == {prefix + b'"a"': b"2", keys.meta_key(0, "ticks"): Meta(0, 2, {"t": 2}).encode()}
    assert ticks.commit() == {}


def test_keys_beyond_the_limit_count_as_other():
    ticks = Ticks(max_keys=3)
    for key in "abcabcddea":
        ticks.tick(key)
    ticks.commit()
    assert ticks.counts() == {"a": 3, "b": 2, "c": 2, "other": 3}


def test_a_key_named_other_is_other():
    ticks = Ticks(max_keys=2)
    for key in ("other", "a", "b", "c"):
        ticks.tick(key)
    ticks.commit()
    assert ticks.counts() == {"other": 3, "a": 1}


def test_the_limit_holds_for_each_window():
    ticks = Ticks(max_keys=1)
    for key in "ab":
        ticks.tick(key, 0)
        ticks.tick(key, 10)
    ticks.commit()
    assert ticks.counts(0) == ticks.counts(10) == {"a": 1, "other": 1}


def test_a_full_window_is_read_back_whole():
    ticks = Ticks(max_keys=3)
    for key in "abcd":
        ticks.tick(key)
    ticks.commit()
    ticks.table.clear()
    for key in "cae":
        ticks.tick(key)
    ticks.commit()
    assert ticks.counts() == {"a": 2, "b": 1, "c": 2, "other": 2}


def test_a_window_that_is_not_full_is_read_back_key_by_key():
    ticks = Ticks(max_keys=3)
    ticks.tick("a")
    ticks.tick("b")
    ticks.commit()
    ticks.table.clear()
    for key in "bcda":
        ticks.tick(key)
    ticks.commit()
    assert ticks.counts() == {"a": 2, "b": 2, "c": 1, "other": 1}


def test_what_is_not_committed_is_forgotten():
    ticks = Ticks()
    ticks.tick("a")
    ticks.table.collect({})  # the transaction failed
    ticks.table.clear()
    ticks.tick("b")
    ticks.commit()
    assert ticks.counts() == {"b": 1}


def test_a_window_that_is_new_reads_nothing_of_its_keys():
    ticks = Ticks()
    asked = []
    ticks.store.get = lambda key: asked.append(key)
    ticks.tick("a")
    ticks.tick("b")
    assert asked == [keys.meta_key(0, "ticks")]


def test_memory_is_bounded_and_cold_windows_come_back():
    ticks = Ticks(max_keys=100)
    for start_s in range(0, 200, 10):
        for number in range(100):
            ticks.tick(f"key {number}", start_s)
        ticks.commit()
    hot = ticks.table._hot
    assert sum(len(shelf) for window in hot.values() for shelf in window.shelves) <= 300
    ticks.tick("key 7", 0)
    ticks.commit()
    assert ticks.counts(0) == {f"key {number}": 1 for number in range(100)} | {"key 7": 2}


def test_strange_keys_do_not_pile_up():
    ticks = Ticks(max_keys=3)
    for number in range(1000):
        ticks.tick(f"stranger {number}")
    window = ticks.table.enter(0, ticks.offset)
    assert len(window.shelves[0]) == 4
    assert len(window.shelves[0].slots) <= 7


def test_keys_that_are_stored_alike_are_one():
    ticks = Ticks()
    ticks.tick("\ud800")
    ticks.tick("?")
    ticks.commit()
    assert ticks.counts() == {"?": 2}


def test_meta_comes_back_as_it_was():
    meta = Meta(3, 2**60, {"s": 1, "p": 1000})
    assert Meta.decode(meta.encode()) == meta
