"""Events packed: their bodies in one piece of memory, so that ten thousand of them are three objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate
from sys import byteorder
from typing import overload

from parsers.event import Event


class PackedEvents(Sequence[Event]):
    """A sequence of events, which are made only where they are asked for. Not changed once made.

    `bodies` are all bodies in a row, `ends` (native unsigned 64-bit integers) says where each ends. `runs` are headers
    that events in a row share, each with the number of the event after the last of them; the dicts may be shared with
    other requests: nobody changes them.
    """

    __slots__ = ("_ends", "bodies", "ends", "runs")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, bodies: bytes, ends: bytes, runs: list[tuple[dict[str, str], int]]) -> None:
        self.bodies = bodies
        self.ends = ends
        self.runs = runs
        self._ends: memoryview | None = None  # the same as numbers, once they are asked for

    @classmethod
    def of(cls, events: Sequence[Event]) -> PackedEvents:
        """The same events, packed."""
        if isinstance(events, PackedEvents):
            return events
        if len(events) == 1:
            headers, body = events[0]
            return cls(body, len(body).to_bytes(8, byteorder), [(headers, 1)])
        runs: list[tuple[dict[str, str], int]] = []
        last: dict[str, str] | None = None
        for number, event in enumerate(events):
            if event.headers != last:
                if last is not None:
                    runs.append((last, number))
                last = event.headers
        if last is not None:
            runs.append((last, len(events)))
        bodies = [event.body for event in events]
        return cls(b"".join(bodies), array("Q", accumulate(map(len, bodies))).tobytes(), runs)

    def __len__(self) -> int:
        return len(self.ends) // 8

    @overload
    def __getitem__(self, at: int) -> Event: ...
    @overload
    def __getitem__(self, at: slice) -> list[Event]: ...
    def __getitem__(self, at: int | slice) -> Event | list[Event]:
        if isinstance(at, slice):
            first, after, step = at.indices(len(self))
            return list(self._between(first, after)) if step == 1 else list(self)[at]
        place = range(len(self))[at]
        return next(self._between(place, place + 1))

    def __iter__(self) -> Iterator[Event]:
        return self._between(0, len(self))

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    def __repr__(self) -> str:
        return f"PackedEvents.of({list(self)!r})"

    def n_bytes(self, first: int, after: int) -> int:
        """Of the bodies from number `first` to that before `after`, together."""
        if not first and 8 * after == len(self.ends):
            return len(self.bodies)
        ends = self._numbers()
        return (ends[after - 1] if after else 0) - (ends[first - 1] if first else 0)

    def each_body(self, first: int, after: int) -> Iterator[bytes]:
        """The bodies themselves."""
        ends = self._numbers()
        start = ends[first - 1] if first else 0
        for end in ends[first:after]:
            yield self.bodies[start:end]
            start = end

    def sizes(self, first: int, after: int) -> Iterator[int]:
        """The bytes of each of them."""
        ends = self._numbers()
        start = ends[first - 1] if first else 0
        for end in ends[first:after]:
            yield end - start
            start = end

    def _numbers(self) -> memoryview:
        if self._ends is None:
            self._ends = memoryview(self.ends).cast("Q")
        return self._ends

    def _between(self, first: int, after: int) -> Iterator[Event]:
        number = first
        bodies = self.each_body(first, after)
        for headers, behind in self.runs:
            while number < behind and number < after:
                yield Event(headers, next(bodies))
                number += 1
