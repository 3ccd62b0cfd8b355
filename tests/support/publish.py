"""A way into Kafka that a test commands: events are taken, refused or left waiting at its word."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from parsers.event import Event
from sources.errors import BrokerUnavailable, SourceError, TooLarge


class CommandedKafka:
    """Stands where `sources.producer.GroupCommitProducer` does.

    `refusal` is raised by every `send` while it is set; `open` holds sends up while it is cleared. `taken` are the
    bodies acknowledged, in order, and `arrivals` what was said about when they came.
    """

    def __init__(self, max_body_bytes: int = 1000) -> None:
        self.refusal: SourceError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.taken: list[bytes] = []
        self.arrivals: list[int | None] = []
        self.calls = 0
        self.max_body_bytes = max_body_bytes

    def go_away(self) -> None:
        """Refuse as the producer does while there is no broker."""
        self.refusal = BrokerUnavailable("away")

    async def check(self, events: Sequence[Event]) -> int:
        for number, event in enumerate(events, 1):
            if len(event.body) > self.max_body_bytes:
                raise TooLarge("event_too_large", f"event {number}")
        return sum(len(event.body) for event in events)

    async def send(self, events: Sequence[Event], arrived_at_ms: int | None = None) -> None:
        self.calls += 1
        await self.check(events)
        await self.open.wait()
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        self.taken += [event.body for event in events]
        self.arrivals += [arrived_at_ms] * len(events)
