"""Monitoring of one raw-log partition: batches in; monitoring records, dead letters and changes of the windows out.

Pure and synchronous: whoever owns the partition commits what comes out, exactly once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agents.origin import Origin, Origins
from agents.outcome import Forward, Outcome, Tally
from agents.route import Record, Route
from agents.target import Failure, Stretch, Target
from streaming.records import Records
from streaming.rows import Rows
from tables import replay
from tables.clock import StreamClock
from tables.reader import Changes, Reader
from tables.replay import Rewind
from tables.retention import Sweeper

__all__ = ["Forward", "Outcome", "PartitionMonitor", "Rewind", "Tally"]

DEAD_LETTER = "dead-letter"
MAX_KEYS = 1000
# Kafka takes record batches of 1,048,588 bytes by default, and a record that no broker takes would stop its partition.
MAX_VALUE_BYTES = 1_000_000
# Records of a stretch at most: what is made of them stays in the processor's cache.
STRETCH_RECORDS = 512
_ERROR_CHARS = 500
_SWEEP_KEYS = 1000  # deletions a batch at most, and this many more for each of its records:
_SWEEP_KEYS_PER_RECORD = 4  # a record makes fewer keys than that, so deleting keeps up whatever comes

Targets = tuple[Target, ...]


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
        self._clock = StreamClock(reader, window_s)
        self._sweeper = Sweeper(reader)
        self._targets = [
            Target(
                route, partition, reader, self._clock,
                window_s=window_s, max_keys=max_keys, max_value_bytes=max_value_bytes,
            )
            for route in routes
        ]  # fmt: skip
        self._tables = {target.table.name: target.table for target in self._targets}
        self._kinds: dict[Targets, Targets] = {}  # each set of targets once
        self._origins: Origins[Targets] = Origins(self._targets_of)

    def process(self, records: Sequence[Record], forward_from: int) -> Outcome:
        """Work on records in the order of their offsets; only those from `forward_from` on are sent on.

        Nothing that a record contains makes this raise: what does not parse becomes a dead letter.
        """
        records = Records.of(records)
        self._clock.load()
        forwards = Rows("raw", b"%d/" % self.partition)
        new = records.place_of(forward_from)
        previous = -1
        for some, forward in ((records[:new], False), (records[new:], True)):
            for targets, stretch in self._stretches(some, previous):
                floor_s = self._floor()
                failures = [
                    failure for target in targets for failure in target.handle(stretch, forward, floor_s, forwards)
                ]
                if failures:
                    letters = self._reject(failures)
                    if forward:
                        forwards.add(letters)
            if some:
                previous = some.offsets[-1]
        changes = self._changes(len(records), previous)
        return Outcome(forwards, changes, self._take_tallies(records))

    def _stretches(self, records: Records, previous: int) -> Iterator[tuple[Targets, Stretch]]:
        """Records that the same routes take and that arrived in one step of the clock, which moves in between."""
        found = {number: self._origins.of(records.headers[number]) for number in set(records.header_ids)}
        for first in range(0, len(records), STRETCH_RECORDS):
            part = records[first : first + STRETCH_RECORDS]
            origins = [found[number][0] for number in part.header_ids]
            kinds = [found[number][1] for number in part.header_ids]
            arrivals_ms = part.timestamps
            targets, due_ms = kinds[0], self._clock.due_ms
            if kinds.count(targets) == len(kinds) and min(arrivals_ms) >= 0 and max(arrivals_ms) < due_ms:
                yield targets, Stretch(part, origins, arrivals_ms)
                previous = part.offsets[-1]
                continue
            begin, arrivals_ms = 0, list(arrivals_ms)
            for place, (offset, kind, arrival_ms) in enumerate(zip(part.offsets, kinds, part.timestamps, strict=True)):
                if kind is not targets or not 0 <= arrival_ms < due_ms:
                    if place > begin:
                        some = slice(begin, place)
                        yield targets, Stretch(part[some], origins[some], arrivals_ms[some])
                    begin, targets = place, kind
                    if not 0 <= arrival_ms < due_ms:
                        arrivals_ms[place] = self._advance(arrival_ms, offset, previous)
                        due_ms = self._clock.due_ms
                previous = offset
            yield targets, Stretch(part[begin:], origins[begin:], arrivals_ms[begin:])

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

    def _targets_of(self, origin: Origin) -> Targets:
        targets = tuple(target for target in self._targets if target.route.takes(origin))
        return self._kinds.setdefault(targets, targets)

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

    def _reject(self, failures: list[Failure]) -> list[Forward]:
        """One dead letter for each record, with the first failure's reason and all errors."""
        by_offset: dict[int, list[Failure]] = {}
        for failure in failures:
            by_offset.setdefault(failure.record.offset, []).append(failure)
        return [self._dead_letter(by_offset[offset]) for offset in sorted(by_offset)]

    def _dead_letter(self, failures: list[Failure]) -> Forward:
        record = failures[0].record
        error = "; ".join(f"{failure.route}: {failure.error}" for failure in failures)
        if len(error) > _ERROR_CHARS:
            error = error[:_ERROR_CHARS] + "…"
        headers: list[tuple[str, bytes | None]] = [
            *record.headers,
            ("reason", failures[0].reason.encode()),
            ("error", error.encode("utf-8", "replace")),
            ("raw", b"%d/%d" % (self.partition, record.offset)),
        ]
        return Forward(DEAD_LETTER, record.key, record.value, failures[0].arrival_ms, headers)

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

    def _take_tallies(self, records: Records) -> dict[str, Tally]:
        tallies: dict[str, Tally] = {}
        for target in self._targets:
            tally = target.tally
            if tally.received:
                tally.sent = tally.received - sum(tally.rejected.values())
                tally.newest_arrival_ms = max(records.timestamps[-1], 0)
                tallies[target.name] = tally
                target.tally = Tally()
        return tallies
