"""A bound on the bytes that wait in memory for Kafka, and on who may fill it slowly."""

from __future__ import annotations

import time
from collections.abc import Callable

# When memory runs out, bodies that have been arriving for longer than this are cut off: a client that sends most of a
# large body and then nothing would keep all others out for as long as it likes.
SLOW_AFTER_S = 10.0


class Budget:
    """Bytes of memory that may be in use at once, for bodies being read and events not yet acknowledged.

    Plain counting on one event loop: whoever takes gives back exactly once, in a `finally`.
    """

    __slots__ = ("_clock", "_readings", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._clock = clock
        self._readings: dict[Reading, float] = {}  # in the order of their beginnings, with the instant

    def take(self, n_bytes: int) -> bool:
        """Whether there was room, perhaps because slow readings were cut off; False takes nothing."""
        if not self.has_room(n_bytes):
            return False
        self.used_bytes += n_bytes
        return True

    def has_room(self, n_bytes: int) -> bool:
        """Whether so much could be taken now; slow readings are cut off for it if need be."""
        while self.used_bytes + n_bytes > self.limit_bytes:
            oldest = next(iter(self._readings), None)
            if oldest is None or self._clock() - self._readings[oldest] < SLOW_AFTER_S:
                return False
            oldest.cut_off()
        return True

    def give(self, n_bytes: int) -> None:
        """Give back what was taken."""
        self.used_bytes -= n_bytes
        assert self.used_bytes >= 0, "more given back than taken"

    def reading(self, on_cut_off: Callable[[], None]) -> Reading:
        """A body that begins to arrive. `on_cut_off` is called once, if it has to make room for others."""
        reading = Reading(self, on_cut_off)
        self._readings[reading] = self._clock()
        return reading

    def forget(self, reading: Reading) -> None:
        """For the reading itself: it has ended."""
        self._readings.pop(reading, None)


class Reading:
    """The memory of one body while it arrives. Ended by `complete`, `drop` or, from outside, `cut_off`."""

    __slots__ = ("_budget", "_ended", "_on_cut_off", "held_bytes")

    def __init__(self, budget: Budget, on_cut_off: Callable[[], None]) -> None:
        self._budget = budget
        self._on_cut_off = on_cut_off
        self._ended = False
        self.held_bytes = 0

    def take(self, n_bytes: int) -> bool:
        """Whether there was room for so much more of the body; False takes nothing."""
        if self._ended or not self._budget.has_room(n_bytes) or self._ended:  # it may be the slow one itself
            return False
        self._budget.take(n_bytes)
        self.held_bytes += n_bytes
        return True

    def complete(self) -> int:
        """The body is there: how many bytes the caller now has to give back to the budget."""
        held, self.held_bytes = self.held_bytes, 0
        self._end()
        return held

    def drop(self) -> None:
        """The body will not be used. Idempotent."""
        self._budget.give(self.held_bytes)
        self.held_bytes = 0
        self._end()

    def cut_off(self) -> None:
        """Make room: nothing is held any more, and the reader is told."""
        self.drop()
        self._on_cut_off()

    def _end(self) -> None:
        self._ended = True
        self._budget.forget(self)
