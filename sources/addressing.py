"""Events get their lanes, their record's key and headers, and the verdict on their size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from parsers.event import Event
from sources.errors import TooLarge
from sources.lanes import Lane, Run
from sources.partitioner import HostPartitioner

# What a record takes in a batch besides its texts, at most, and each of its headers.
_RECORD_OVERHEAD_BYTES = 40
_HEADER_OVERHEAD_BYTES = 10
# The header of a batch (61 bytes), generously: sizes this near the limit are computed exactly.
_BATCH_OVERHEAD_BYTES = 64
# Events without a host share one partition for so long, so that their batches fill; then it is another's turn.
_KEYLESS_TURNS_PER_S = 200


def check_sizes(events: Sequence[Event], max_event_bytes: int, first_number: int = 1) -> int:
    """Only the verdict that `Addressing.address` comes to, and the bytes in batches, where there are no lanes.

    Raises: TooLarge naming the event, counted from `first_number`.
    """
    total = 0
    last: dict[str, str] | None = None
    envelope_bytes = 0
    for number, (named, body) in enumerate(events, first_number):
        if named != last:
            last = named
            headers, envelope_bytes = _headers(named)
            key = named.get("host", "").encode() or None
            envelope_bytes += len(key or b"")
        if len(body) > max_event_bytes - envelope_bytes - _BATCH_OVERHEAD_BYTES:
            _measure(number, key, headers, body, max_event_bytes)
        total += envelope_bytes + len(body)
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

    def address(self, events: Sequence[Event], first_number: int = 1) -> tuple[list[Run], int]:
        """The events in runs of equal headers, in their order, and the bytes that all of them take in batches.

        Raises: TooLarge naming the event, counted from `first_number`.
        """
        runs: list[Run] = []
        total = 0
        last: dict[str, str] | None = None
        for number, (named, body) in enumerate(events, first_number):
            if named != last:
                last = named
                run = self._run(named)
                runs.append(run)
                envelope_bytes = run.envelope_bytes
                room_bytes = self.max_event_bytes - envelope_bytes - _BATCH_OVERHEAD_BYTES
                add = run.bodies.append
            if len(body) > room_bytes:
                _measure(number, run.key, run.headers, body, self.max_event_bytes)
            add(body)
            total += envelope_bytes + len(body)
        return runs, total

    def _run(self, named: dict[str, str]) -> Run:
        headers, envelope_bytes = _headers(named)
        host = named.get("host")
        if not host:
            return Run(self._keyless_lane(), None, headers, envelope_bytes)
        key, partition = self._partitioner.locate(host)
        return Run(self.lanes[partition], key, headers, envelope_bytes + len(key))

    def _keyless_lane(self) -> Lane:
        lanes = self.lanes
        turn = int(self._clock() * _KEYLESS_TURNS_PER_S)
        for attempt in range(len(lanes)):
            lane = lanes[(turn + attempt) % len(lanes)]
            if not lane.away:
                return lane
        return lanes[0]


def _headers(named: dict[str, str]) -> tuple[list[tuple[str, bytes]], int]:
    """A record's headers, and the bytes that it takes without body and key, at most."""
    headers = []
    envelope_bytes = _RECORD_OVERHEAD_BYTES
    for name, text in named.items():
        value = text.encode()
        headers.append((name, value))
        envelope_bytes += _HEADER_OVERHEAD_BYTES + len(name.encode()) + len(value)
    return headers, envelope_bytes


def _measure(
    number: int, key: bytes | None, headers: list[tuple[str, bytes]], body: bytes, max_event_bytes: int
) -> None:
    """The exact verdict on a record that is near the limit."""
    n_bytes = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, body, headers)
    if n_bytes > max_event_bytes:
        raise TooLarge(
            "event_too_large",
            f"event {number} is {n_bytes} bytes as a record, {max_event_bytes} is the most",
            max_event_bytes,
        )
