"""Packed events read like a list of events."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.event import Event
from parsers.packed import PackedEvents

HEADERS = st.sampled_from([{}, {"host": "a"}, {"host": "b", "type": "x"}])
EVENTS = st.lists(st.builds(Event, HEADERS, st.binary(max_size=20)), max_size=12)
PLACE = st.none() | st.integers(-14, 14)


@given(EVENTS)
def test_it_is_the_events_it_was_made_of(events: list[Event]) -> None:
    packed = PackedEvents.of(events)
    assert packed == events
    assert events == packed
    assert list(packed) == events
    assert len(packed) == len(events)
    assert bool(packed) == bool(events)
    assert [packed[number] for number in range(-len(events), len(events))] == events + events
    assert PackedEvents.of(packed) is packed
    assert packed == PackedEvents.of(events)


@given(EVENTS, PLACE, PLACE, st.none() | st.integers(-3, 3).filter(bool))
def test_slices_are_those_of_a_list(events: list[Event], start: int | None, stop: int | None, step: int | None) -> None:
    assert PackedEvents.of(events)[start:stop:step] == events[start:stop:step]


@given(EVENTS, st.data())
def test_sizes_are_those_of_the_bodies(events: list[Event], data: st.DataObject) -> None:
    packed = PackedEvents.of(events)
    first = data.draw(st.integers(0, len(events)))
    after = data.draw(st.integers(first, len(events)))
    sizes = [len(event.body) for event in events[first:after]]
    assert list(packed.sizes(first, after)) == sizes
    assert packed.n_bytes(first, after) == sum(sizes)
    assert list(packed.each_body(first, after)) == [event.body for event in events[first:after]]


@given(EVENTS)
def test_events_in_a_row_share_their_headers(events: list[Event]) -> None:
    runs = PackedEvents.of(events).runs
    assert all(one[0] != other[0] for one, other in pairwise(runs))
    assert [after for _, after in runs] == sorted({after for _, after in runs})


@pytest.mark.parametrize("number", [2, -3, 2**70])
def test_what_is_not_there(number: int) -> None:
    with pytest.raises(IndexError):
        PackedEvents.of([Event({}, b"a"), Event({}, b"b")])[number]


def test_it_differs_from_other_things() -> None:
    packed = PackedEvents.of([Event({}, b"a")])
    assert packed != [Event({}, b"b")]
    assert packed != [Event({}, b"a"), Event({}, b"a")]
    assert packed != 1
    assert repr(packed) == "PackedEvents.of([Event(headers={}, body=b'a')])"
