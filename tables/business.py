"""What is counted of one business log: windows by the values of the route's `group_by` fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from config.routes import BusinessRoute, Metric
from parsers.business import BusinessColumns
from tables.exact import Number, measurable_of
from tables.keys import MAX_TEXT_CHARS, Source, short
from tables.metrics import GAUGES, Gauge
from tables.reader import Changes, Reader
from tables.window import Family, Slot, WindowTable

BY_GROUP = "g"
OTHER = "other"

Group = tuple[Any, ...]  # the values of the group_by fields


def table_name(route: BusinessRoute) -> str:
    """The table of a business route; no other table's name starts with `business-`."""
    return f"business-{route.name}"


class GroupSlot(Slot):
    """Records of one group in one window."""

    __slots__ = ("count", "gauges", "metrics")

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.count = 0
        self.metrics = metrics
        self.gauges: list[Gauge] = [GAUGES[metric.kind]() for metric in metrics]

    def add_many(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Count records, by their fields; a field that one lacks is not measured."""
        self.count += len(records)
        measured: dict[str, Sequence[Number]] = {}
        for metric, gauge in zip(self.metrics, self.gauges, strict=True):
            numbers = measured.get(metric.field)
            if numbers is None:
                numbers = measured[metric.field] = measurable_of([fields.get(metric.field) for fields in records])
            if numbers:
                gauge.add_many(numbers)

    def encode(self) -> bytes:
        """`{"n": count, "m": {name: [kind, field, state]}}`: says itself what it holds, as routes change."""
        states = {
            metric.name: (metric.kind, metric.field, gauge.state())
            for metric, gauge in zip(self.metrics, self.gauges, strict=True)
        }
        return orjson.dumps({"n": self.count, "m": states})

    def merge(self, stored: bytes) -> None:
        """Add what `encode` has stored, as far as it is of the same metrics."""
        content = orjson.loads(stored)
        self.count += content["n"]
        states = content["m"]
        for metric, gauge in zip(self.metrics, self.gauges, strict=True):
            kind, field, state = states.get(metric.name, (None, None, None))
            if kind == metric.kind and field == metric.field:
                gauge.merge(state)


class BusinessTable:
    """The windows of one business log and partition, with `max_keys` groups a window."""

    def __init__(self, route: BusinessRoute, reader: Reader, max_keys: int) -> None:
        self.name = table_name(route)
        self._group_by = route.group_by
        self._metrics = route.metrics
        other = (OTHER,) * len(self._group_by)
        family: Family[Group, GroupSlot] = Family(BY_GROUP, other, self._names, self._new, self._decode)
        self._windows = WindowTable(self.name, (family,), reader, max_keys)

    def add_many(
        self, start_s: int, offsets: Sequence[int], sources: Sequence[Source], columns: BusinessColumns
    ) -> None:
        """Count records, offsets ascending, in the window that starts at `start_s`; those that it has not counted."""
        del sources
        window = self._windows.enter(start_s, offsets[0])
        counted = window.count(offsets)
        records = columns.fields[counted:]
        keys = [_key_values([fields.get(name) for fields in records]) for name in self._group_by]
        groups: dict[Group, list[Mapping[str, Any]]] = {}
        for group, fields in zip(zip(*keys, strict=True) if keys else [()] * len(records), records, strict=True):
            some = groups.get(group)
            if some is None:
                groups[group] = [fields]
            else:
                some.append(fields)
        for group, some in groups.items():
            window.shelves[0].find(group).add_many(some)

    def collect(self, changes: Changes) -> None:
        """Put everything counted since the last time among `changes`."""
        self._windows.collect(changes)

    @property
    def entered(self) -> Iterable[int]:
        """The starts of the windows that the current batch has entered."""
        return self._windows.entered

    def forget(self, start_s: int) -> None:
        """Forget a window that is deleted from the store."""
        self._windows.forget(start_s)

    def clear(self) -> None:
        """Forget everything: the store is what counts."""
        self._windows.clear()

    def _names(self, group: Group) -> dict[str, Any]:
        return dict(zip(self._group_by, group, strict=True))

    def _new(self) -> GroupSlot:
        return GroupSlot(self._metrics)

    def _decode(self, stored: bytes) -> GroupSlot:
        slot = GroupSlot(self._metrics)
        slot.merge(stored)
        return slot


def _key_values(values: list[Any]) -> list[Any]:
    """The values as they are used in keys."""
    if any(type(value) is str and len(value) > MAX_TEXT_CHARS for value in values):
        return [short(value) if isinstance(value, str) else value for value in values]
    return values
