"""Counters of one source, route or destination; plain integers, read by whoever reports them.

received = sent + sum(rejected) + in_spool + in flight, for every flow, always.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["source", "route", "destination"]
State = Literal["starting", "running", "recovering", "backing off", "stopped", "failed"]


@dataclass(slots=True)
class Flow:
    """What one part of the pipeline has handled since this worker started.

    Kept by its owner on the event loop's thread (or under the owner's own lock); readers take a `snapshot`.
    `rejected` and `notes` have bounded key sets: reasons and names from the code, never from the data.
    """

    name: str
    kind: Kind
    state: State = "starting"
    received: int = 0  # records that came in
    sent: int = 0  # records that were handed on and acknowledged
    accepted: int = 0  # of a source: events that its sender was told are taken
    in_spool: int = 0  # accepted, on the local disk, not in Kafka yet
    in_spool_bytes: int = 0
    oldest_in_spool_at_ms: int | None = None  # when the oldest of them arrived
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> records not handed on
    received_bytes: int = 0
    sent_bytes: int = 0
    last_event_at_ms: int | None = None
    last_error: str | None = None
    last_error_at_ms: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)  # whatever else an operator wants to see, JSON values

    def reject(self, reason: str, records: int = 1) -> None:
        """Count records that are not handed on."""
        self.rejected[reason] = self.rejected.get(reason, 0) + records

    def error(self, text: str) -> None:
        """Remember the newest error, with its instant."""
        self.last_error = text
        self.last_error_at_ms = int(time.time() * 1000)

    def snapshot(self) -> dict[str, Any]:
        """A JSON-ready copy."""
        return {
            "name": self.name,
            "kind": self.kind,
            "state": self.state,
            "received": self.received,
            "accepted": self.accepted,
            "sent": self.sent,
            "in_spool": self.in_spool,
            "in_spool_bytes": self.in_spool_bytes,
            "oldest_in_spool_at_ms": self.oldest_in_spool_at_ms,
            "rejected": dict(self.rejected),
            "received_bytes": self.received_bytes,
            "sent_bytes": self.sent_bytes,
            "last_event_at_ms": self.last_event_at_ms,
            "last_error": self.last_error,
            "last_error_at_ms": self.last_error_at_ms,
            "notes": dict(self.notes),
        }
