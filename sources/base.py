"""The contract between a source and the way into Kafka.

A source turns what arrives (a request, a datagram, a line of a file) into events, hands them to a `Publish`, and tells
its sender that they are safe only after `send` has returned. It keeps a `Flow` and is wired in `app/`.

The source counts `received` and `received_bytes` when events arrive; then either `accepted` and `sent`, both as soon as
`send` has returned and before it awaits anything else, or `reject(reason)` for what will not be tried again; a retry is
not counted. A `Publish` that has kept events elsewhere than in Kafka (sources/levels.py) has taken them out of `sent`
by then, ahead of the source's count, and puts them back when Kafka has them. So, at any moment:

    received = sent + rejected + in_spool + in flight        accepted = what senders were told is taken
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from parsers.event import Event
from telemetry.flow import Flow


def with_headers(event_headers: dict[str, str], source_headers: Mapping[str, str], override: bool) -> dict[str, str]:
    """An event's headers and its source's together; the event's win, or the source's if they `override`."""
    if not source_headers:
        return event_headers
    return {**event_headers, **source_headers} if override else {**source_headers, **event_headers}


class Source(Protocol):
    """What a worker with the role `ingest` runs for a `[[source]]` table."""

    flow: Flow  # of kind "source", named as the table is

    async def start(self) -> None:
        """Begin taking events in; returns at once. Kafka need not be there yet. Raises: CannotListen."""

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight within about 5 s, close. Once more does nothing."""


class Publish(Protocol):
    """Where events go. Safe for concurrent use by tasks of one event loop."""

    async def send(self, events: Sequence[Event]) -> None:
        """Return once the brokers have acknowledged every event (`acks=all`).

        Events of one host, sent one call after the other, stay in order. Every verdict on the events comes before the
        first of them is sent: on TooLarge and Overloaded nothing is kept; on BrokerUnavailable some may be in Kafka or
        get there yet, and all of them are to be sent again. Cancelling does not take back what was handed over.

        Raises: TooLarge, Overloaded, BrokerUnavailable.
        """
