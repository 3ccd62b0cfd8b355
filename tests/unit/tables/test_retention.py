"""Old windows go in bounded steps, whoever made them."""

from __future__ import annotations

from tables import keys
from tables.memory import MemoryStore
from tables.retention import Sweeper
from tables.window import Meta


def store_with(*windows, key_count=4):
    store = MemoryStore()
    for table, start_s in windows:
        store.write({keys.meta_key(start_s, table): Meta(0, 9, {"a": key_count, "b": 0}).encode()})
        store.write({keys.window_prefix(table, "a", start_s) + b"%d" % number: b"1" for number in range(key_count)})
    return store


def sweep(sweeper, store, floor_s, limit=1000, entered=()):
    changes, gone = sweeper.sweep(floor_s, limit, entered)
    store.write(changes)
    return len(changes), gone


def test_only_windows_before_the_floor_go():
    store = store_with(("access", 10), ("access", 20), ("business-gone", 10))
    kept = store_with(("access", 20))
    assert sweep(Sweeper(store), store, 20) == (10, [("access", 10), ("business-gone", 10)])
    assert store.content == kept.content


def test_deletions_are_bounded_and_go_on():
    store = store_with(("access", 10), ("access", 20))
    sweeper = Sweeper(store)
    assert sweep(sweeper, store, 100, limit=3) == (3, [])
    assert sweep(sweeper, store, 100, limit=3)[1] == [("access", 10)]
    for _ in range(3):
        sweep(sweeper, store, 100, limit=3)
    assert store.content == {}


def test_nothing_is_read_again_below_what_is_swept():
    store = store_with(("access", 10))
    sweeper = Sweeper(store)
    sweep(sweeper, store, 100)
    reads = []
    original = store.range
    store.range = lambda start, end: reads.append((start, end)) or original(start, end)
    sweep(sweeper, store, 100)
    assert reads == []
    sweep(sweeper, store, 110)
    assert reads[0] == (keys.meta_key(100, ""), keys.meta_key(110, ""))


def test_a_window_that_is_being_changed_waits():
    store = store_with(("access", 10))
    sweeper = Sweeper(store)
    assert sweep(sweeper, store, 100, entered={("access", 10)}) == (0, [])
    assert sweep(sweeper, store, 100) == (5, [("access", 10)])


def test_epochs_go_with_their_time():
    store = MemoryStore()
    store.write({keys.epoch_key(10): b"x", keys.epoch_key(20): b"y"})
    sweep(Sweeper(store), store, 20)
    assert list(store.content) == [keys.epoch_key(20)]
