"""Monitoring of one raw-log partition: batches in; monitoring records, dead letters and changes of the windows out.

Pure and synchronous: whoever owns the partition commits what comes out, exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from agents.origin import Origin, Origins
from agents.outcome import Forward, Outcome, Tally
from agents.route import Record, Route, Target
from parsers.errors import ParseError
from tables import replay
from tables.clock import StreamClock
from tables.reader import Changes, Reader
from tables.replay import Rewind
from tables.retention import Sweeper

__all__ = ["Forward", "Outcome", "PartitionMonitor", "Rewind", "Tally"]

DEAD_LETTER = "dead-letter"
FUTURE_MS = 300_000  # a line further ahead of its arrival has a wrong clock: forwarded, and in no window
MAX_KEYS = 1000
# Kafka takes record batches of 1,048,588 bytes by default, and a record that no broker takes would stop its partition.
MAX_VALUE_BYTES = 1_000_000
TOO_LARGE = "too_large"
INTERNAL = "internal_error"
REPLAYED = "replayed"  # counted again, and not sent on because it was once already
_GROWTH = 6  # bytes of JSON that a byte of a line can become (\u0000); the fields' names are in the slack
_SLACK_BYTES = 4096
_ERROR_CHARS = 500
_SWEEP_KEYS = 1000  # deletions a batch at most, and this many more for each of its records:
_SWEEP_KEYS_PER_RECORD = 4  # a record makes fewer keys than that, so deleting keeps up whatever comes

_new = tuple.__new__  # a NamedTuple's own __new__ takes three times as long


class _Failure(NamedTuple):
    target: Target
    reason: str
    error: str


class PartitionMonitor:
    """Everything that monitoring knows about one raw-log partition.

    `process` is a function of the committed state and the records: the same records give the same windows however they
    are cut into batches, and a record that a window has counted is not counted again. What it returns must be committed
    and visible in `reader` before the next call; where committing failed, `discard` first.

    A record is handled by every route that takes it. Not safe for concurrent use: one for each assigned partition.
    """

    def __init__(
        self,
        partition: int,
        routes: Sequence[Route],
        reader: Reader,
        *,
        window_s: int,
        retention_s: int,
        max_keys: int = MAX_KEYS,
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        self.partition = partition
        self._reader = reader
        self._window_s = window_s
        self._retention_s = retention_s
        self._max_value_bytes = max_value_bytes
        self._small_bytes = (max_value_bytes - _SLACK_BYTES) // _GROWTH
        self._targets = [Target(route, reader, max_keys) for route in routes]
        self._tables = {target.table.name: target.table for target in self._targets}
        self._origins: Origins[list[Target]] = Origins(self._targets_of)
        self._clock = StreamClock(reader, window_s)
        self._sweeper = Sweeper(reader)

    def process(self, records: Sequence[Record], forward_from: int) -> Outcome:
        """Work on records in the order of their offsets; only those from `forward_from` on are sent on.

        Nothing that a record contains makes this raise: what does not parse becomes a dead letter.
        """
        clock, window_s, max_value_bytes = self._clock, self._window_s, self._max_value_bytes
        known_origin, origin_of = self._origins.known.get, self._origins.of
        clock.load()
        due_ms, floor_s = clock.due_ms, self._floor()
        window_ms = window_s * 1000
        raw_prefix = b"%d/" % self.partition
        forwards: list[Forward] = []
        last = -1
        for record in records:
            offset, arrival_ms, body = record.offset, record.timestamp, record.value or b""
            if not 0 <= arrival_ms < due_ms:
                arrival_ms = self._advance(arrival_ms, offset, last)
                due_ms, floor_s = clock.due_ms, self._floor()
            last = offset
            origin, targets = known_origin(record.headers) or origin_of(record.headers)
            forward = offset >= forward_from
            key = record.key
            key_bytes = len(key) if key else 0
            failures = None
            for target in targets:
                tally = target.tally
                tally.received += 1
                tally.received_bytes += len(body)
                value = None
                try:
                    parsed = target.parse(body)
                    event_ms = parsed.ts
                    if event_ms is None:
                        event_ms = origin.time_ms(arrival_ms)
                    # What may be too large is encoded in any case: a replay has to come to the same verdict.
                    if forward or len(body) + key_bytes + origin.header_bytes > self._small_bytes:
                        value = target.encode(parsed, origin.service, origin.host, event_ms)
                        size = len(value) + key_bytes
                        if size > max_value_bytes:
                            raise ParseError(TOO_LARGE, f"{size} bytes with its key, more than {max_value_bytes}")
                except ParseError as error:
                    failures = [*(failures or ()), _Failure(target, error.reason, str(error))]
                    continue
                except Exception as error:  # a bug of ours, and one record must not stop a partition for good
                    failures = [*(failures or ()), _Failure(target, INTERNAL, f"{type(error).__name__}: {error}")]
                    continue
                start_s = event_ms // window_ms * window_s
                if start_s < floor_s:
                    clock.leave_outside(target.table.name, "expired", offset)
                elif event_ms > arrival_ms + FUTURE_MS:
                    clock.leave_outside(target.table.name, "future", offset)
                else:
                    target.add(start_s, offset, origin.source, parsed)
                if forward and value is not None:
                    tally.sent_bytes += len(value)
                    headers = [("raw", raw_prefix + b"%d" % offset)]
                    forwards.append(_new(Forward, (target.topic, key, value, arrival_ms, headers)))
                else:
                    tally.reject(REPLAYED)
            if failures:
                letter = self._reject(record, arrival_ms, failures)
                if forward:
                    forwards.append(letter)
        changes = self._changes(len(records), last)
        return Outcome(forwards, changes, self._take_tallies(records))

    def discard(self) -> None:
        """Forget what was not committed: the next `process` starts from what the reader has."""
        for target in self._targets:
            target.table.clear()
            target.tally = Tally()
        self._clock.clear()
        self._sweeper.clear()

    def rewind(self, offset: int, log_start: int) -> Rewind:
        """Prepare to process again from `offset`, as `tables.replay.rewind` says; commit its changes first."""
        self.discard()
        return replay.rewind(self._reader, offset, log_start)

    def _targets_of(self, origin: Origin) -> list[Target]:
        return [target for target in self._targets if target.route.takes(origin)]

    def _floor(self) -> int:
        """Windows that start before it are closed."""
        start_s = self._clock.start_s
        return 0 if start_s is None else max(start_s - self._retention_s, 0)

    def _advance(self, arrival_ms: int, offset: int, previous: int) -> int:
        """Move the clock where that is due; returns the arrival, or the clock's time for a record without one."""
        if arrival_ms < 0:
            arrival_ms = (self._clock.start_s or 0) * 1000
        if arrival_ms >= self._clock.due_ms:
            self._clock.advance(arrival_ms, offset, previous)
        return arrival_ms

    def _reject(self, record: Record, arrival_ms: int, failures: list[_Failure]) -> Forward:
        """Count the failures; the dead letter is one for the record, with the first failure's reason and all errors."""
        for failure in failures:
            failure.target.tally.reject(failure.reason)
        error = "; ".join(f"{failure.target.name}: {failure.error}" for failure in failures)
        if len(error) > _ERROR_CHARS:
            error = error[:_ERROR_CHARS] + "…"
        headers: list[tuple[str, bytes | None]] = [
            *record.headers,
            ("reason", failures[0].reason.encode()),
            ("error", error.encode("utf-8", "replace")),
            ("raw", b"%d/%d" % (self.partition, record.offset)),
        ]
        return Forward(DEAD_LETTER, record.key, record.value, arrival_ms, headers)

    def _changes(self, records: int, last: int) -> Changes:
        floor_s = self._floor()
        limit = _SWEEP_KEYS + _SWEEP_KEYS_PER_RECORD * records
        entered = {
            (name, start_s) for name, table in self._tables.items() for start_s in table.entered if start_s < floor_s
        }
        changes, gone = self._sweeper.sweep(floor_s, limit, entered)
        for name, start_s in gone:
            if name in self._tables:
                self._tables[name].forget(start_s)
        for table in self._tables.values():
            table.collect(changes)
        self._clock.collect(changes, last, floor_s)
        return changes

    def _take_tallies(self, records: Sequence[Record]) -> dict[str, Tally]:
        tallies: dict[str, Tally] = {}
        for target in self._targets:
            tally = target.tally
            if tally.received:
                tally.sent = tally.received - sum(tally.rejected.values())
                tally.newest_arrival_ms = max(records[-1].timestamp, 0)
                tallies[target.name] = tally
                target.tally = Tally()
        return tallies
