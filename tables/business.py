"""What is counted of one business log: windows by the values of the route's `group_by` fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from config.routes import BusinessRoute, Metric
from parsers.business import BusinessRecord
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

    def add(self, fields: Mapping[str, Any]) -> None:
        """Count one record; a field that it lacks is not measured."""
        self.count += 1
        for metric, gauge in zip(self.metrics, self.gauges, strict=True):
            value = fields.get(metric.field)
            if value is not None:
                gauge.add(value)

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

    def add(self, start_s: int, offset: int, source: Source, record: BusinessRecord) -> None:
        """Count a record in the window that starts at `start_s`, unless the window has counted `offset` already."""
        window = self._windows.enter(start_s, offset)
        if offset <= window.last:
            return
        window.last = offset
        fields = record.fields
        group = tuple([_key_value(fields.get(name)) for name in self._group_by])
        slot: GroupSlot = window.shelves[0].find(group)
        slot.add(fields)

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


def _key_value(value: Any) -> Any:
    return short(value) if isinstance(value, str) and len(value) > MAX_TEXT_CHARS else value
