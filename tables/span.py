"""Which windows a question is about: the retained ones between two instants, in steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tables import clock
from tables.reader import Reader

_FOREVER_S = 1 << 62


class Span(NamedTuple):
    """Windows that start in [start_s, end_s), shown in steps of `step_s`. All are multiples of the step, but the start
    may be the end of the retention instead.
    """

    start_s: int
    end_s: int
    step_s: int

    def step_of(self, start_s: int) -> int:
        """The step that a window belongs to."""
        return start_s // self.step_s * self.step_s


def retained_from(readers: Sequence[Reader], retention_s: int) -> int:
    """The start of the oldest window that is retained, epoch seconds.

    It is the same for all partitions, after the clock that is furthest: a partition that gets no records any more keeps
    its last windows for ever, and one with its deletions pending has windows in pieces. Neither is shown.
    """
    shown = [start_s for start_s in map(clock.shown, readers) if start_s is not None]
    return max(max(shown) - retention_s, 0) if shown else 0


def span_of(
    readers: Sequence[Reader],
    window_s: int,
    retention_s: int,
    start_s: int | None = None,
    end_s: int | None = None,
    step_s: int | None = None,
) -> Span:
    """The span between two instants, widened to whole steps; everything retained where they are not given.

    Raises ValueError for a step that is not a multiple of the window.
    """
    step_s = window_s if step_s is None else step_s
    if step_s <= 0 or step_s % window_s:
        raise ValueError(f"step {step_s} is not a multiple of the window, {window_s} s")
    oldest = retained_from(readers, retention_s)
    start = oldest if start_s is None else max(start_s // step_s * step_s, oldest)
    end = _FOREVER_S if end_s is None else min(max(-(-end_s // step_s) * step_s, 0), _FOREVER_S)
    return Span(min(start, _FOREVER_S), end, step_s)


def outside(readers: Sequence[Reader], retention_s: int) -> dict[str, dict[str, int]]:
    """Records that were left outside the windows, table -> {"expired", "future"}, as long as they are retained."""
    oldest = retained_from(readers, retention_s)
    totals: dict[str, dict[str, int]] = {}
    for reader in readers:
        for epoch in clock.epochs(reader, oldest):
            for table, counts in epoch.outside.items():
                total = totals.setdefault(table, {"expired": 0, "future": 0})
                for kind, records in counts.items():
                    total[kind] += records
    return totals
