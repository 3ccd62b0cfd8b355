"""Events get their lanes, their record's key and headers, and the verdict on their size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from parsers.event import Event
from parsers.packed import PackedEvents
from sources.batches import Envelope, longest, new_envelope
from sources.errors import TooLarge
from sources.lanes import Lane, Run
from sources.partitioner import HostPartitioner

# The header of a batch (61 bytes), generously: sizes this near the limit are computed exactly.
_BATCH_OVERHEAD_BYTES: Final = 64
# Events without a host share one partition for so long, so that their batches fill; then it is another's turn.
_KEYLESS_TURNS_PER_S: Final = 200
# Headers that were seen lately, which most clients send again and again.
_MOST_REMEMBERED: Final = 2_048
_LONGEST_REMEMBERED_BYTES: Final = 1_024


Portion = tuple[PackedEvents, int, int, "int | None"]
"""Events, the number in the request of the first of them, and which of their runs are meant: from, and before."""


def portions(events: Sequence[Event], most: int) -> Iterator[Portion]:
    """A request in slices that take about equal time, that of `most` events with headers of their own."""
    if isinstance(events, PackedEvents):
        for first in range(0, len(events.runs), most):
            yield events, 1, first, first + most
    else:
        for first in range(0, len(events), most):
            yield PackedEvents.of(events[first : first + most]), first + 1, 0, None


def check_sizes(
    max_event_bytes: int, events: PackedEvents, first_number: int = 1, first_run: int = 0, after_run: int | None = None
) -> int:
    """Only the verdict that `Addressing.address` comes to, and the bytes in batches, where there are no lanes.

    Raises: TooLarge naming the event by its number in the request.
    """
    total = 0
    first = events.runs[first_run - 1][1] if first_run else 0
    for named, after in events.runs[first_run:after_run]:
        envelope = new_envelope(named, named.get("host", "").encode() or None)
        total += _checked(events, first, after, envelope, max_event_bytes, first_number)
        first = after
    return total


class Addressing:
    """Tells which lane takes an event: of the partition that Kafka's own clients would choose for its header `host`.

    Where there is no host, or an empty one, the key is null, and the lanes that are not away take turns. One for each
    set of lanes: `lanes[n]` is partition `n`.
    """

    def __init__(self, lanes: Sequence[Lane], max_event_bytes: int, clock: Callable[[], float]) -> None:
        self.lanes = lanes
        self.max_event_bytes = max_event_bytes
        self._clock = clock
        self._partitioner = HostPartitioner(len(lanes))
        self._remembered: dict[tuple[tuple[str, str], ...], tuple[Envelope, int | None]] = {}

    def address(
        self, events: PackedEvents, first_number: int = 1, first_run: int = 0, after_run: int | None = None
    ) -> tuple[list[Run], int]:
        """The runs with their lanes, in their order, and the bytes that all their events take in batches.

        Raises: TooLarge naming the event by its number in the request.
        """
        runs: list[Run] = []
        total = 0
        remembered = self._remembered
        first = events.runs[first_run - 1][1] if first_run else 0
        for named, after in events.runs[first_run:after_run]:
            texts = tuple(named.items())
            envelope, partition = remembered.get(texts) or self._locate(named, texts)
            total += _checked(events, first, after, envelope, self.max_event_bytes, first_number)
            lane = self._keyless_lane() if partition is None else self.lanes[partition]
            runs.append(Run(lane, envelope, events, first, after))
            first = after
        return runs, total

    def _locate(self, named: dict[str, str], texts: tuple[tuple[str, str], ...]) -> tuple[Envelope, int | None]:
        host = named.get("host")
        key, partition = self._partitioner.locate(host) if host else (None, None)
        located = new_envelope(named, key), partition
        if located[0].n_bytes <= _LONGEST_REMEMBERED_BYTES:
            if len(self._remembered) >= _MOST_REMEMBERED:
                self._remembered.clear()
            self._remembered[texts] = located
        return located

    def _keyless_lane(self) -> Lane:
        lanes = self.lanes
        turn = int(self._clock() * _KEYLESS_TURNS_PER_S)
        for attempt in range(len(lanes)):
            lane = lanes[(turn + attempt) % len(lanes)]
            if not lane.away:
                return lane
        return lanes[0]


def _checked(
    events: PackedEvents, first: int, after: int, envelope: Envelope, max_event_bytes: int, first_number: int
) -> int:
    """The bytes of these events as records, at most. Raises: TooLarge."""
    n_bytes = events.n_bytes(first, after)
    room_bytes = max_event_bytes - envelope.n_bytes - _BATCH_OVERHEAD_BYTES
    if n_bytes > room_bytes and longest(events, first, after) > room_bytes:
        for number, size in enumerate(events.sizes(first, after), first):
            if size > room_bytes:
                _measure(first_number + number, envelope, events[number].body, max_event_bytes)
    return n_bytes + envelope.n_bytes * (after - first)


def _measure(number: int, envelope: Envelope, body: bytes, max_event_bytes: int) -> None:
    """The exact verdict on a record that is near the limit."""
    n_bytes = DefaultRecordBatchBuilder.estimate_size_in_bytes(envelope.key, body, envelope.headers)
    if n_bytes > max_event_bytes:
        raise TooLarge(
            "event_too_large",
            f"event {number} is {n_bytes} bytes as a record, {max_event_bytes} is the most",
            max_event_bytes,
        )
