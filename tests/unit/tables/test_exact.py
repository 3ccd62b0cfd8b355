"""Numbers survive being stored, and only numbers are measured."""

from __future__ import annotations

import orjson
import pytest

from tables.exact import measurable, restore, shown, store


@pytest.mark.parametrize("number", [0, -1, 2**63 - 1, 2**63, -(2**80), 0.1, -1e308, float("inf"), float("-inf")])
def test_a_stored_number_comes_back_as_it_was(number):
    restored = restore(orjson.loads(orjson.dumps(store(number))))
    assert restored == number
    assert type(restored) is type(number)


@pytest.mark.parametrize("value", ["1", None, [1], {}, float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_not_measured(value):
    assert measurable(value) is None


def test_what_is_measured():
    assert measurable(True) == 1
    assert measurable(2**63 - 1) == 2**63 - 1
    assert measurable(2**64) == float(2**64)
    assert isinstance(measurable(2**64), float)
    assert measurable(0.5) == 0.5


def test_what_is_shown_is_json():
    assert shown(float("inf")) is None
    assert shown(None) is None
    assert shown(2**70) == float(2**70)
    assert orjson.loads(orjson.dumps([shown(2**70), shown(5), shown(0.5)])) == [float(2**70), 5, 0.5]
