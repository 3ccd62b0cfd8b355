"""The figures kept of a business log's fields: sum, min, max and percentiles, each added up value by value."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, Protocol

from tables.exact import Number, restore, store
from tables.exact import shown as shown_number
from tables.histogram import add_counts, buckets_of, percentiles


class Gauge(Protocol):
    """One figure of one key in one window (or, merged, of many)."""

    def add_many(self, numbers: Sequence[Number]) -> None:
        """Count numbers, one at least, as if they came one by one: what is kept is the same, to the last digit."""

    def state(self) -> Any:
        """What is stored, JSON-ready."""

    def merge(self, state: Any) -> None:
        """Add what another window or partition has stored."""

    def shown(self) -> Any:
        """What an answer shows, JSON-ready."""


class Sum:
    """The sum, exact for integers; floats are added in the order of the records. 0 where there was nothing."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total: Number = 0

    def add_many(self, numbers: Sequence[Number]) -> None:
        # Not `sum`: from Python 3.12 on it adds floats up in another way, and then batches would change the result.
        self.total = reduce(add, numbers, self.total)

    def state(self) -> Any:
        return store(self.total)

    def merge(self, state: Any) -> None:
        self.total += restore(state)

    def shown(self) -> Any:
        return shown_number(self.total)


class Low:
    """The smallest value; null where there was none."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number | None = None

    def add_many(self, numbers: Sequence[Number]) -> None:
        lowest = min(numbers)
        if self.value is None or lowest < self.value:
            self.value = lowest

    def state(self) -> Any:
        return self.value

    def merge(self, state: Any) -> None:
        if state is not None:
            self.add_many([state])

    def shown(self) -> Any:
        return self.value


class High:
    """The largest value; null where there was none."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number | None = None

    def add_many(self, numbers: Sequence[Number]) -> None:
        highest = max(numbers)
        if self.value is None or highest > self.value:
            self.value = highest

    def state(self) -> Any:
        return self.value

    def merge(self, state: Any) -> None:
        if state is not None:
            self.add_many([state])

    def shown(self) -> Any:
        return self.value


class Spread:
    """Percentiles by histogram, with the extremes exact."""

    __slots__ = ("counts", "highest", "lowest")

    def __init__(self) -> None:
        self.lowest: Number = float("inf")
        self.highest: Number = float("-inf")
        self.counts: dict[int, int] = {}

    def add_many(self, numbers: Sequence[Number]) -> None:
        counts = self.counts
        for bucket in buckets_of(numbers):
            counts[bucket] = counts.get(bucket, 0) + 1
        self.lowest = min(self.lowest, *numbers)
        self.highest = max(self.highest, *numbers)

    def state(self) -> Any:
        if not self.counts:
            return None
        return [self.lowest, self.highest, [*self.counts], [*self.counts.values()]]

    def merge(self, state: Any) -> None:
        if state is not None:
            lowest, highest, buckets, counts = state
            self.lowest = min(self.lowest, lowest)
            self.highest = max(self.highest, highest)
            add_counts(self.counts, buckets, counts)

    def shown(self) -> Any:
        return percentiles([(self.counts.keys(), self.counts.values())], self.lowest, self.highest)


GAUGES: dict[str, type[Gauge]] = {"sum": Sum, "min": Low, "max": High, "percentiles": Spread}
