"""Which windows a question is about."""

from __future__ import annotations

import pytest

from tables import keys, span
from tables.clock import Epoch
from tables.memory import MemoryStore


def reader(clock_s, *steps):
    store = MemoryStore()
    if clock_s is not None:
        store.write({keys.CLOCK: keys.pack_start(clock_s)})
    store.write({keys.epoch_key(step.start_s): step.encode() for step in steps})
    return store


def test_by_default_everything_retained_by_the_furthest_clock():
    found = span.span_of([reader(1000), reader(None), reader(900)], 10, 60)
    assert (found.start_s, found.step_s) == (940, 10)
    assert found.end_s > 10**12


def test_before_the_first_record_everything():
    assert span.span_of([reader(None)], 10, 60).start_s == 0
    assert span.span_of([], 10, 60).start_s == 0


def test_instants_are_widened_to_whole_steps():
    found = span.span_of([reader(1000)], 10, 600, 545, 601, 30)
    assert found == (540, 630, 30)
    assert found.step_of(569) == 540


def test_what_is_not_retained_is_not_asked_for():
    assert span.span_of([reader(1000)], 10, 60, 100, 950)[:2] == (940, 950)


@pytest.mark.parametrize("step_s", [0, -10, 5, 15])
def test_a_step_is_a_multiple_of_the_window(step_s):
    with pytest.raises(ValueError, match="not a multiple of the window, 10 s"):
        span.span_of([], 10, 60, step_s=step_s)


@pytest.mark.parametrize(("start_s", "end_s"), [(-(10**30), 10**30), (10**30, -(10**30)), (2**64, 2**64)])
def test_absurd_instants_do_no_harm(start_s, end_s):
    found = span.span_of([reader(1000)], 10, 60, start_s, end_s)
    keys.window_prefix("access", "s", found.start_s)
    keys.window_prefix("access", "s", found.end_s)


def test_counts_outside_windows_add_up_as_long_as_they_are_retained():
    one = reader(1000, Epoch(930, 0, 9, {"access": {"expired": 9, "future": 9}}))
    other = reader(990, Epoch(940, 0, 9, {"access": {"expired": 1, "future": 0}}))
    third = reader(980, Epoch(980, 0, 9, {"access": {"expired": 2, "future": 3}, "b": {"expired": 0, "future": 1}}))
    assert span.outside([one, other, third], 60) == {
        "access": {"expired": 3, "future": 3},
        "b": {"expired": 0, "future": 1},
    }
