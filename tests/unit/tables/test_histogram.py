"""Histogram buckets and percentiles."""

from __future__ import annotations

import pytest

from tables.histogram import LAST_BUCKET, bucket_of, percentiles


def columns(*values):
    counts = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    return [(counts.keys(), counts.values())]


def test_nothing_counted_gives_nulls():
    assert percentiles([], 0.0, 0.0) == {"p50": None, "p95": None, "p99": None, "max": None}
    assert percentiles(columns(), 0.0, 0.0) == {"p50": None, "p95": None, "p99": None, "max": None}


def test_one_value_is_every_percentile_exactly():
    assert percentiles(columns(7), 7, 7) == {"p50": 7, "p95": 7, "p99": 7, "max": 7}


def test_percentiles_are_of_the_nearest_rank():
    found = percentiles(columns(*range(1, 101)), 1, 100)
    assert found["p50"] == pytest.approx(50, rel=0.02)
    assert found["p95"] == pytest.approx(95, rel=0.02)
    assert found["p99"] == pytest.approx(99, rel=0.02)
    assert found["max"] == 100


def test_zero_and_negatives_keep_their_order():
    found = percentiles(columns(-100, -1, 0, 1, 100), -100, 100, (10, 30, 50, 70, 90))
    assert found["p10"] == pytest.approx(-100, rel=0.02)
    assert found["p30"] == pytest.approx(-1, rel=0.02)
    assert found["p50"] == 0
    assert found["p70"] == pytest.approx(1, rel=0.02)
    assert found["p90"] == pytest.approx(100, rel=0.02)


def test_what_is_out_of_range_is_clamped():
    assert bucket_of(1e300) == bucket_of(float("inf")) == LAST_BUCKET
    assert bucket_of(-1e300) == -LAST_BUCKET
    assert bucket_of(1e-300) == bucket_of(-1e-300) == bucket_of(0.0) == 0
    assert percentiles(columns(1e300), 1e300, 1e300)["p50"] == 1e300
