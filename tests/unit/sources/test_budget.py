"""The memory of bodies and events: a bound that slow senders can't keep filled."""

from __future__ import annotations

import pytest

from sources.budget import SLOW_AFTER_S, Budget
from tests.support.ingest import SettableClock


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def budget(clock: SettableClock) -> Budget:
    return Budget(100, clock)


def test_it_counts(budget: Budget) -> None:
    assert budget.take(60)
    assert not budget.take(41)
    assert budget.take(40)
    budget.give(100)
    assert budget.used_bytes == 0
    with pytest.raises(AssertionError, match="more given back"):
        budget.give(1)


def test_a_body_that_is_complete_belongs_to_its_reader(budget: Budget) -> None:
    reading = budget.reading(lambda: pytest.fail("nobody was in need"))
    assert reading.take(30)
    assert reading.take(20)
    assert reading.complete() == 50
    assert budget.used_bytes == 50
    reading.drop()
    assert budget.used_bytes == 50


def test_a_body_that_is_dropped_holds_nothing(budget: Budget) -> None:
    reading = budget.reading(lambda: pytest.fail("nobody was in need"))
    assert reading.take(30)
    reading.drop()
    reading.drop()
    assert budget.used_bytes == 0
    assert not reading.take(1)


def test_slow_bodies_make_room_the_oldest_first(budget: Budget, clock: SettableClock) -> None:
    cut: list[str] = []
    readings = {}
    for name in ("first", "second", "third"):
        readings[name] = budget.reading(lambda name=name: cut.append(name))
        assert readings[name].take(30)
        clock.now_s += 1.0
    assert not budget.take(20)
    clock.now_s += SLOW_AFTER_S
    assert budget.take(20)
    assert cut == ["first"]
    assert budget.used_bytes == 80
    assert not readings["first"].take(1)
    assert budget.take(60)
    assert cut == ["first", "second", "third"]
    assert budget.used_bytes == 80
    for reading in readings.values():
        reading.drop()
    assert budget.used_bytes == 80


def test_bodies_that_come_quickly_are_left_alone(budget: Budget, clock: SettableClock) -> None:
    cut: list[str] = []
    old = budget.reading(lambda: cut.append("old"))
    assert old.take(50)
    clock.now_s += SLOW_AFTER_S
    young = budget.reading(lambda: cut.append("young"))
    assert young.take(50)
    assert not young.take(51)
    assert cut == ["old"]
    assert budget.used_bytes == 50


def test_a_slow_body_may_be_in_its_own_way(budget: Budget, clock: SettableClock) -> None:
    cut: list[str] = []
    reading = budget.reading(lambda: cut.append("itself"))
    assert reading.take(90)
    clock.now_s += SLOW_AFTER_S
    assert not reading.take(20)
    assert cut == ["itself"]
    assert budget.used_bytes == 0


def test_a_complete_body_is_not_cut_off(budget: Budget, clock: SettableClock) -> None:
    reading = budget.reading(lambda: pytest.fail("it is complete"))
    assert reading.take(90)
    clock.now_s += SLOW_AFTER_S
    assert reading.complete() == 90
    assert not budget.take(20)
