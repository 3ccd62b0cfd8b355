"""Histograms with fixed logarithmic buckets: percentiles within 2 %, exactly additive over windows and partitions.

A bucket is an int. 0 holds zero (and everything nearer to it than MIN), n > 0 the values up to MIN * GAMMA**n, -n the
same below zero, so buckets sort as their values do. A histogram is a plain dict bucket -> count: merging is adding, and
what is encoded does not depend on how records were batched.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import accumulate
from math import ceil, exp, log
from typing import TypeVar

# A bucket's representative is off by (GAMMA - 1) / (GAMMA + 1) at most; a little under the 2 % of the contract, which
# leaves room for the rounding of log().
RELATIVE_ERROR = 0.0199
GAMMA = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
# Beyond these, values are clamped: 27 decades make 1,562 buckets a sign, which bounds what hostile values can cost.
MIN = 1e-9
MAX = 1e18
PER_LOG = 1 / log(GAMMA)
SHIFT = -log(MIN) * PER_LOG
LAST_BUCKET = ceil(log(MAX) * PER_LOG + SHIFT)
PERCENTS = (50, 95, 99)


def bucket_of(value: float) -> int:
    """The bucket of a finite value."""
    if value > MIN:
        return ceil(log(value) * PER_LOG + SHIFT) if value < MAX else LAST_BUCKET
    if value < -MIN:
        return -ceil(log(-value) * PER_LOG + SHIFT) if value > -MAX else -LAST_BUCKET
    return 0


def buckets_of(values: Sequence[float]) -> list[int]:
    """The buckets of finite values, as `bucket_of`."""
    if values and min(values) > MIN and max(values) < MAX:
        return [ceil(logarithm * PER_LOG + SHIFT) for logarithm in map(log, values)]
    return list(map(bucket_of, values))


def value_of(bucket: int) -> float:
    """What stands for all values of a bucket: nowhere off by more than RELATIVE_ERROR."""
    if bucket == 0:
        return 0.0
    middle = exp((abs(bucket) - SHIFT) / PER_LOG) * 2 / (1 + GAMMA)
    return middle if bucket > 0 else -middle


B = TypeVar("B")


def add_counts(into: dict[B, int], buckets: Iterable[B], counts: Iterable[int]) -> None:
    """Add counts by bucket (or by anything else), given as two columns, to `into`."""
    have = into.get
    for bucket, count in zip(buckets, counts, strict=True):
        into[bucket] = have(bucket, 0) + count


def percentiles(
    parts: Sequence[tuple[Collection[int], Collection[int]]],
    lowest: float,
    highest: float,
    percents: Sequence[int] = PERCENTS,
) -> dict[str, float | None]:
    """`{"p50": …, "p95": …, "p99": …, "max": …}` of histograms together, by nearest rank; all null for none.

    A part is a histogram as two columns, its buckets and their counts. Each percentile is within 2 % of the value that
    has that rank; `max` is exact: it is `highest`.
    """
    parts = [part for part in parts if part[0]]
    found: dict[str, float | None] = dict.fromkeys((*(f"p{percent}" for percent in percents), "max"))
    if not parts:
        return found
    # Adding up in a list is twice as fast as in a dict, and needs no sorting afterwards.
    base = min(0, min(min(buckets) for buckets, _ in parts))
    counts = [0] * (max(max(buckets) for buckets, _ in parts) - base + 1)
    for buckets, per_bucket in parts:
        if base:
            for bucket, count in zip(buckets, per_bucket, strict=True):
                counts[bucket - base] += count
        else:
            for bucket, count in zip(buckets, per_bucket, strict=True):
                counts[bucket] += count
    passed = list(accumulate(counts))
    for percent in percents:
        rank = -(-passed[-1] * percent // 100)
        if rank == passed[-1]:
            found[f"p{percent}"] = highest
        else:
            # The exact value lies between the extremes, so moving the estimate between them never makes it worse.
            found[f"p{percent}"] = min(max(value_of(bisect_left(passed, rank) + base), lowest), highest)
    found["max"] = highest
    return found
