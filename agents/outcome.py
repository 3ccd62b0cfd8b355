"""What monitoring makes of a batch: records to send on, changes to store, and what to count once both are committed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from streaming.rows import Row, Rows
from tables.reader import Changes
from telemetry.flow import Flow

Forward = Row
"""A record for another topic. Its time is the raw record's, its arrival: a broker might refuse a line's own time, or
delete it at once."""


@dataclass(slots=True)
class Tally:
    """What a batch was for one route: received = sent + the sum of rejected."""

    received: int = 0
    received_bytes: int = 0
    sent: int = 0
    sent_bytes: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> records
    newest_arrival_ms: int | None = None

    def reject(self, reason: str, records: int = 1) -> None:
        """Count records that are not sent on."""
        self.rejected[reason] = self.rejected.get(reason, 0) + records

    def add_to(self, flow: Flow) -> None:
        """Add to the route's flow; once, and only when the batch is committed."""
        flow.received += self.received
        flow.received_bytes += self.received_bytes
        flow.sent += self.sent
        flow.sent_bytes += self.sent_bytes
        for reason, records in self.rejected.items():
            flow.reject(reason, records)
        if self.newest_arrival_ms is not None:
            flow.last_event_at_ms = max(self.newest_arrival_ms, flow.last_event_at_ms or 0)


class Outcome(NamedTuple):
    """What is to be committed together, and what to count then."""

    forwards: Rows
    changes: Changes
    tallies: dict[str, Tally]  # by route name; only of routes that received something
