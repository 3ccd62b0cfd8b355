"""One route on one partition, at work on stretches of records: parsed, encoded and counted in columns.

A column is one list for each thing that is known of the records: what is done for all of them is then done in loops
that hold one thing, or by one call (docs/decisions/0009-columns.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from agents.origin import Origin
from agents.outcome import Tally
from agents.route import Columns, Record, Route
from parsers.errors import ParseError
from streaming.records import Records
from streaming.rows import Columns as Rowed
from streaming.rows import Rows
from tables.clock import StreamClock
from tables.reader import Reader

FUTURE_MS = 300_000  # a line further ahead of its arrival has a wrong clock: forwarded, and in no window
TOO_LARGE = "too_large"
INTERNAL = "internal_error"
REPLAYED = "replayed"  # counted again, and not sent on because it was once already
_GROWTH = 6  # bytes of JSON that a byte of a line can become (\u0000); the fields' names are in the slack
_SLACK_BYTES = 4096


class Failure(NamedTuple):
    """Why a route refused a record."""

    record: Record
    arrival_ms: int
    route: str
    reason: str
    error: str


class Stretch(NamedTuple):
    """Records that follow each other, as columns."""

    records: Records
    origins: list[Origin]
    arrivals_ms: list[int]

    def take(self, places: Sequence[int]) -> Stretch:
        """The same of the records at these places."""
        origins, arrivals_ms = self.origins, self.arrivals_ms
        return Stretch(self.records.take(places), [origins[at] for at in places], [arrivals_ms[at] for at in places])


class Target:
    """A route on one partition: its windows, and what the current batch was for it."""

    def __init__(
        self, route: Route, partition: int, reader: Reader, clock: StreamClock, *,
        window_s: int, max_keys: int, max_value_bytes: int,
    ) -> None:  # fmt: skip
        self.route = route
        self.name = route.name
        self.table = route.table(reader, max_keys)
        self.tally = Tally()
        self._partition = partition
        self._clock = clock
        self._window_s = window_s
        self._max_value_bytes = max_value_bytes
        self._small_bytes = (max_value_bytes - _SLACK_BYTES) // _GROWTH

    def handle(self, stretch: Stretch, forward: bool, floor_s: int, forwards: Rows) -> list[Failure]:
        """Count a stretch in the windows from `floor_s` on, and add it to `forwards`; returns what was refused.

        Each record's verdict is its own: how records are cut into stretches changes nothing.
        """
        bodies = [value or b"" for value in stretch.records.values]
        self.tally.received += len(bodies)
        self.tally.received_bytes += sum(map(len, bodies))
        failures: list[Failure] = []
        columns, refused = self._parse(bodies)
        if refused:
            failures += self._refuse(stretch, refused)
            if len(refused) == len(bodies):
                return failures
            stretch = stretch.take(_others(refused, len(bodies)))
        times = self._times(stretch, columns)
        values: list[Any] = []
        # What may be too large is encoded in any case: a replay has to come to the same verdict.
        if forward or self._may_be_too_large(stretch):
            values = self._encode(stretch, columns, times)
            if set(map(type, values)) != {bytes}:
                refused = {place: value for place, value in enumerate(values) if type(value) is not bytes}
                failures += self._refuse(stretch, refused)
                kept = _others(refused, len(values))
                stretch, columns = stretch.take(kept), columns.take(kept)
                times, values = [times[place] for place in kept], [values[place] for place in kept]
        if times:
            self._count(stretch, times, columns, floor_s)
            if forward:
                self._forward(stretch, values, forwards)
            else:
                self.tally.reject(REPLAYED, len(times))
        return failures

    def _parse(self, bodies: Sequence[bytes]) -> tuple[Any, Mapping[int, Exception]]:
        """What was parsed, and by their place the exceptions of those that are left out."""
        try:
            return self.route.parse_many(bodies)
        except Exception:  # a bug of ours, and one record must not stop a partition for good
            refused: dict[int, Exception] = {}
            for place, body in enumerate(bodies):
                try:
                    refused.update((place, error) for error in self.route.parse_many([body])[1].values())
                except Exception as error:
                    refused[place] = error
            left = [bodies[place] for place in _others(refused, len(bodies))]
            return self.route.parse_many(left)[0] if left else None, refused

    def _encode(self, stretch: Stretch, columns: Columns, times: Sequence[int]) -> list[Any]:
        """The JSON of each record, or the exception."""
        services = [origin.service for origin in stretch.origins]
        hosts = [origin.host for origin in stretch.origins]
        try:
            values: list[Any] = self.route.encode_many(columns, services, hosts, times)
        except Exception as error:  # a bug of ours, as above
            if len(times) == 1:
                return [error]
            places = range(len(times))
            return [self._encode(stretch.take([at]), columns.take([at]), [times[at]])[0] for at in places]
        most = self._max_value_bytes
        if values and max(map(len, values)) + _longest(stretch.records.keys) > most:
            for place, key in enumerate(stretch.records.keys):
                size = len(values[place]) + len(key or b"")
                if size > most:
                    values[place] = ParseError(TOO_LARGE, f"{size} bytes with its key, more than {most}")
        return values

    def _refuse(self, stretch: Stretch, refused: Mapping[int, Exception]) -> list[Failure]:
        failures = []
        for place, error in refused.items():
            if isinstance(error, ParseError):
                reason, text = error.reason, str(error)
            else:
                reason, text = INTERNAL, f"{type(error).__name__}: {error}"
            self.tally.reject(reason)
            failures.append(Failure(stretch.records[place], stretch.arrivals_ms[place], self.name, reason, text))
        return failures

    def _times(self, stretch: Stretch, columns: Columns) -> Sequence[int]:
        """When each happened: by its line, else by its origin."""
        if None in columns.ts:
            return [
                origin.time_ms(arrival_ms) if ts is None else ts
                for ts, origin, arrival_ms in zip(columns.ts, stretch.origins, stretch.arrivals_ms, strict=True)
            ]
        return columns.ts  # type: ignore[return-value]  # as it has no None

    def _may_be_too_large(self, stretch: Stretch) -> bool:
        records = stretch.records
        header_bytes = max(origin.header_bytes for origin in set(stretch.origins))
        return _longest(records.values) + _longest(records.keys) + header_bytes > self._small_bytes

    def _count(self, stretch: Stretch, times: Sequence[int], columns: Columns, floor_s: int) -> None:
        """Count records in their windows; those that no window takes are counted apart."""
        offsets = stretch.records.offsets
        sources = [origin.source for origin in stretch.origins]
        window_s, window_ms = self._window_s, self._window_s * 1000
        start_s, last_s = (at // window_ms * window_s for at in (min(times), max(times)))
        if floor_s <= start_s == last_s and max(times) <= min(stretch.arrivals_ms) + FUTURE_MS:  # nearly always
            self.table.add_many(start_s, offsets, sources, columns)
            return
        windows: dict[int, list[int]] = {}
        for place, (at, arrival_ms) in enumerate(zip(times, stretch.arrivals_ms, strict=True)):
            start_s = at // window_ms * window_s
            if start_s < floor_s:
                self._clock.leave_outside(self.table.name, "expired", offsets[place])
            elif at > arrival_ms + FUTURE_MS:
                self._clock.leave_outside(self.table.name, "future", offsets[place])
            else:
                windows.setdefault(start_s, []).append(place)
        for start_s, places in windows.items():
            some = [offsets[place] for place in places], [sources[place] for place in places]
            self.table.add_many(start_s, *some, columns.take(places))

    def _forward(self, stretch: Stretch, values: list[bytes | None], forwards: Rows) -> None:
        self.tally.sent_bytes += sum(map(len, values))  # type: ignore[arg-type]
        records = stretch.records
        forwards.add_columns(Rowed(self.route.topic, records.keys, values, stretch.arrivals_ms, list(records.offsets)))


def _longest(values: Sequence[bytes | None]) -> int:
    return max(map(len, filter(None, values)), default=0)


def _others(places: Collection[int], count: int) -> list[int]:
    return [place for place in range(count) if place not in places]
