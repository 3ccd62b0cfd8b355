"""Each figure, added value by value and merged."""

from __future__ import annotations

import orjson
import pytest

from tables.exact import measurable_of
from tables.metrics import GAUGES


def gauge(kind, *values):
    figure = GAUGES[kind]()
    for value in values:
        if numbers := measurable_of([value]):
            figure.add_many(numbers)
    return figure


@pytest.mark.parametrize(
    ("kind", "shown"),
    [("sum", 6.5), ("min", -1), ("max", 5.5), ("percentiles", {"p50": 2, "p95": 5.5, "p99": 5.5, "max": 5.5})],
)
def test_what_is_shown(kind, shown):
    found = gauge(kind, 2, 5.5, -1, float("nan"), "7").shown()
    assert found == (pytest.approx(shown, rel=0.02) if kind == "percentiles" else shown)


@pytest.mark.parametrize("kind", GAUGES)
@pytest.mark.parametrize("values", [(), (2,), (2, 5.5, -1, 0), (2**63 - 1, 2**63 - 1)])
def test_merging_two_is_the_same_as_one(kind, values):
    left, right = gauge(kind, *values[:1]), gauge(kind, *values[1:])
    left.merge(orjson.loads(orjson.dumps(right.state())))
    assert left.shown() == gauge(kind, *values).shown()


@pytest.mark.parametrize("kind", GAUGES)
def test_a_sum_without_bounds_is_still_json(kind):
    figure = gauge(kind, 1.7e308, 1.7e308)
    again = gauge(kind)
    again.merge(orjson.loads(orjson.dumps(figure.state())))
    assert again.shown() == figure.shown()
    orjson.dumps(figure.shown())
