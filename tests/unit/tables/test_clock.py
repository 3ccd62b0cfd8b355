"""Stream time: steps without overlap, made by arrivals alone."""

from __future__ import annotations

from tables import keys
from tables.clock import Epoch, StreamClock, epochs, shown
from tables.memory import MemoryStore


def run(store, arrivals, outside=(), floor_s=0):
    """Feed a fresh clock with {offset: arrival in s} as one batch and commit."""
    clock = StreamClock(store, 10)
    clock.load()
    last = -1
    for offset, arrival_s in arrivals.items():
        if arrival_s * 1000 >= clock.due_ms:
            clock.advance(arrival_s * 1000, offset, last)
        if offset in outside:
            clock.leave_outside("access", "expired", offset)
        last = offset
    changes = {}
    clock.collect(changes, last, floor_s)
    store.write(changes)
    return clock


def test_before_the_first_record_it_shows_nothing():
    store = MemoryStore()
    assert run(store, {}).start_s is None
    assert shown(store) is None
    assert store.content == {}


def test_epochs_cover_the_offsets_of_their_time():
    store = MemoryStore()
    run(store, {5: 100, 6: 105, 9: 111, 10: 95, 11: 119, 12: 150}, outside={6, 10})
    assert list(epochs(store)) == [
        Epoch(100, 5, 6, {"access": {"expired": 1, "future": 0}}),
        Epoch(110, 9, 11, {"access": {"expired": 1, "future": 0}}),
        Epoch(150, 12, 12, {}),
    ]
    assert shown(store) == 150
    assert [epoch.start_s for epoch in epochs(store, 101)] == [110, 150]


def test_it_goes_on_where_it_was():
    store = MemoryStore()
    run(store, {0: 100}, outside={0})
    run(store, {1: 90, 2: 109}, outside={1})
    assert list(epochs(store)) == [Epoch(100, 0, 2, {"access": {"expired": 2, "future": 0}})]
    run(store, {3: 110})
    assert [(epoch.start_s, epoch.first, epoch.last) for epoch in epochs(store)] == [(100, 0, 2), (110, 3, 3)]


def test_what_an_epoch_has_covered_is_not_counted_again():
    store = MemoryStore()
    run(store, {0: 100, 1: 101}, outside={0, 1})
    before = dict(store.content)
    run(store, {0: 100, 1: 101}, outside={0, 1})
    assert store.content == before


def test_epochs_that_pass_out_of_the_retention_within_a_batch_are_not_kept():
    store = MemoryStore()
    run(store, {0: 100, 1: 200, 2: 300}, floor_s=240)
    assert [epoch.start_s for epoch in epochs(store)] == [300]
    assert store.get(keys.epoch_key(200)) is None
