"""Questions about business windows, answered over all partitions in the shape of the web contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from config.routes import BusinessRoute
from tables import keys
from tables.business import BY_GROUP, GroupSlot, table_name
from tables.reader import Reader
from tables.span import span_of


def business_windows(
    readers: Sequence[Reader],
    route: BusinessRoute,
    *,
    window_s: int,
    retention_s: int,
    start_s: int | None = None,
    end_s: int | None = None,
    step_s: int | None = None,
) -> list[dict[str, Any]]:
    """`windows` of /api/business/<route>: a row for each step and group, by time and then group.

    `start_s` and `end_s` are widened to whole steps. Raises ValueError for a step that is not a multiple of the window.
    """
    span = span_of(readers, window_s, retention_s, start_s, end_s, step_s)
    table = table_name(route)
    first = keys.window_prefix(table, BY_GROUP, span.start_s)
    end = keys.window_prefix(table, BY_GROUP, span.end_s)
    at = len(first) - 8
    totals: dict[tuple[int, bytes], GroupSlot] = {}
    for reader in readers:
        for key, value in reader.range(first, end):
            cell = span.step_of(keys.unpack_start(key[at : at + 8])), key[at + 8 :]
            total = totals.get(cell)
            if total is None:
                total = totals[cell] = GroupSlot(route.metrics)
            total.merge(value)
    return [_row(*cell, totals[cell]) for cell in sorted(totals)]


def _row(start_s: int, packed: bytes, total: GroupSlot) -> dict[str, Any]:
    metrics = {metric.name: gauge.shown() for metric, gauge in zip(total.metrics, total.gauges, strict=True)}
    return {"start": start_s, "key": orjson.loads(packed), "count": total.count, **metrics}
