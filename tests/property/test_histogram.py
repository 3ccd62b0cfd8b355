"""Percentiles are within 2 % of the exact nearest rank, whatever the values and however they are merged."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from tables.histogram import LAST_BUCKET, MAX, MIN, add_counts, bucket_of, percentiles, value_of

magnitudes = st.floats(min_value=2e-9, max_value=9e17) | st.integers(min_value=1, max_value=10**17)
values = st.one_of(magnitudes, magnitudes.map(lambda value: -value), st.just(0))


def histogram(numbers):
    counts = {}
    add_counts(counts, map(bucket_of, numbers), [1] * len(numbers))
    return counts


@given(st.lists(values, min_size=1, max_size=300))
def test_percentiles_are_within_two_percent_of_nearest_rank(numbers):
    half = len(numbers) // 2
    parts = [histogram(numbers[:half]), histogram(numbers[half:])]
    found = percentiles([(part.keys(), part.values()) for part in parts], min(numbers), max(numbers))
    ordered = sorted(numbers)
    for percent in (50, 95, 99):
        exact = ordered[ceil(len(numbers) * percent / 100) - 1]
        assert abs(found[f"p{percent}"] - exact) <= 0.02 * abs(exact)
    assert found["max"] == max(numbers)


@given(st.lists(values, max_size=50), st.lists(values, max_size=50))
def test_merging_is_the_same_as_counting_together(left, right):
    merged = histogram(left)
    add_counts(merged, *zip(*histogram(right).items(), strict=True)) if right else None
    assert merged == histogram([*left, *right])


@given(values, values)
def test_buckets_are_in_the_order_of_their_values(one, other):
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)
    assert value_of(bucket_of(low)) <= value_of(bucket_of(high))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(min_value=-(2**63), max_value=2**63))
def test_any_finite_value_has_one_of_a_bounded_number_of_buckets(value):
    assert -LAST_BUCKET <= bucket_of(value) <= LAST_BUCKET
    assert (bucket_of(value) == 0) or abs(value) > MIN
    assert value_of(bucket_of(value)) <= MAX * 1.05
