"""Numbers in stored windows: JSON that gives back the very same number, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

Number = int | float
Stored = int | float | str
LARGEST = (1 << 63) - 1  # the integers that every JSON reader of ours takes


def measurable(value: object) -> Number | None:
    """The number that a metric counts for a field's value, or None where there is nothing to measure.

    Integers beyond 64 bits are measured as floats; what is not a finite number is not measured.
    """
    kind = type(value)
    if kind is float:
        return value if isfinite(value) else None  # type: ignore[arg-type,return-value]
    if kind is int:
        if -LARGEST <= value <= LARGEST:  # type: ignore[operator]
            return value  # type: ignore[return-value]
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            return None
    if kind is bool:
        return int(value)  # type: ignore[call-overload,no-any-return]
    return None


def measurable_of(values: Sequence[object]) -> Sequence[Number]:
    """The numbers that a metric counts of a column of values, in order."""
    if set(map(type, values)) == {float} and all(map(isfinite, values)):  # type: ignore[arg-type]
        return values  # type: ignore[return-value]
    return [number for number in map(measurable, values) if number is not None]


def store(number: Number) -> Stored:
    """`number` as JSON takes it: as text where JSON would lose it (beyond 64 bits, or an infinite sum)."""
    if type(number) is int:
        return number if -LARGEST <= number <= LARGEST else str(number)
    return number if isfinite(number) else str(number)


def restore(stored: Stored) -> Number:
    """The number that `store` was given."""
    if isinstance(stored, str):
        return int(stored) if stored.lstrip("-").isdigit() else float(stored)
    return stored


def shown(number: Number | None) -> Number | None:
    """`number` for an answer in JSON: as float beyond 64 bits, null where it is infinite."""
    if number is None or (isinstance(number, float) and not isfinite(number)):
        return None
    if isinstance(number, int) and not -LARGEST <= number <= LARGEST:
        return float(number)
    return number
