"""What a rewind deletes, and where it starts."""

from __future__ import annotations

from tables import keys
from tables.clock import Epoch, epochs, shown
from tables.memory import MemoryStore
from tables.replay import rewind
from tables.window import Meta


def store_with(windows, steps):
    """A store with windows {(table, start): (first, last)} and epochs {start: (first, last)}."""
    store = MemoryStore()
    for (table, start_s), (first, last) in windows.items():
        store.write({keys.meta_key(start_s, table): Meta(first, last, {"s": 1}).encode()})
        store.write({keys.window_prefix(table, "s", start_s) + b"key": b"value"})
    for start_s, (first, last) in steps.items():
        store.write({keys.epoch_key(start_s): Epoch(start_s, first, last, {}).encode()})
    store.write({keys.CLOCK: keys.pack_start(max(steps))})
    return store


def windows_of(store):
    return {
        (table, start_s)
        for key, _ in store.range(keys.META, keys.METAS_END)
        for start_s, table in [keys.split_meta_key(key)]
    }


WINDOWS = {("access", 10): (0, 40), ("access", 20): (30, 90), ("business-old", 10): (5, 9), ("access", 30): (70, 99)}
STEPS = {10: (0, 24), 20: (25, 59), 30: (60, 99)}


def test_windows_from_the_offset_on_are_rebuilt_from_their_first_record():
    store = store_with(WINDOWS, STEPS)
    found = rewind(store, 80, 0)
    store.write(found.changes)
    # Window 20 begins at 30, and the clock's step that holds 30 at 25.
    assert found.start_offset == 25
    assert windows_of(store) == {("access", 10), ("business-old", 10)}
    assert store.get(keys.window_prefix("access", "s", 20) + b"key") is None
    assert store.get(keys.window_prefix("access", "s", 10) + b"key") == b"value"
    assert [epoch.start_s for epoch in epochs(store)] == [10]
    assert shown(store) == 10


def test_from_the_beginning_nothing_is_left():
    store = store_with(WINDOWS, STEPS)
    found = rewind(store, 0, 0)
    store.write(found.changes)
    assert found.start_offset == 0
    assert store.content == {}


def test_what_kafka_cannot_rebuild_stays():
    store = store_with(WINDOWS, STEPS)
    found = rewind(store, 0, 35)
    store.write(found.changes)
    assert found.start_offset == 35
    assert windows_of(store) == {("access", 10), ("access", 20), ("business-old", 10)}
    assert [epoch.start_s for epoch in epochs(store)] == [10, 20]
    assert shown(store) == 20


def test_an_offset_at_the_end_changes_nothing():
    store = store_with(WINDOWS, STEPS)
    before = dict(store.content)
    found = rewind(store, 100, 0)
    store.write(found.changes)
    assert found.start_offset == 100
    assert store.content == before


def test_an_empty_store_starts_where_it_is_told():
    assert rewind(MemoryStore(), 7, 3) == (7, {keys.CLOCK: None})
    assert rewind(MemoryStore(), 0, 3) == (3, {keys.CLOCK: None})
