"""The figures kept of a business log's fields: sum, min, max and percentiles, each added up value by value."""

from __future__ import annotations

from typing import Any, Protocol

from tables.exact import Number, measurable, restore, store
from tables.exact import shown as shown_number
from tables.histogram import add_counts, bucket_of, percentiles


class Gauge(Protocol):
    """One figure of one key in one window (or, merged, of many)."""

    def add(self, value: object) -> None:
        """Count a field's value; what is not a finite number is not counted."""

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

    def add(self, value: object) -> None:
        number = measurable(value)
        if number is not None:
            self.total += number

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

    def add(self, value: object) -> None:
        number = measurable(value)
        if number is not None and (self.value is None or number < self.value):
            self.value = number

    def state(self) -> Any:
        return self.value

    def merge(self, state: Any) -> None:
        self.add(state)

    def shown(self) -> Any:
        return self.value


class High:
    """The largest value; null where there was none."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: Number | None = None

    def add(self, value: object) -> None:
        number = measurable(value)
        if number is not None and (self.value is None or number > self.value):
            self.value = number

    def state(self) -> Any:
        return self.value

    def merge(self, state: Any) -> None:
        self.add(state)

    def shown(self) -> Any:
        return self.value


class Spread:
    """Percentiles by histogram, with the extremes exact."""

    __slots__ = ("counts", "highest", "lowest")

    def __init__(self) -> None:
        self.lowest: Number = float("inf")
        self.highest: Number = float("-inf")
        self.counts: dict[int, int] = {}

    def add(self, value: object) -> None:
        number = measurable(value)
        if number is not None:
            bucket = bucket_of(number)
            self.counts[bucket] = self.counts.get(bucket, 0) + 1
            if number < self.lowest:
                self.lowest = number
            if number > self.highest:
                self.highest = number

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
