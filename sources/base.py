"""The contract between a source and the way into Kafka.

A source turns what arrives (a request, a datagram, a line of a file) into events, hands them to a `Publish`, and tells
its sender that they are safe only after `send` has returned. It keeps a `Flow` and is wired in `app/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from parsers.event import Event


class Publish(Protocol):
    """Where events go. Safe for concurrent use by tasks of one event loop."""

    async def send(self, events: Sequence[Event]) -> None:
        """Return once the brokers have acknowledged every event (`acks=all`).

        Events of one host, sent one call after the other, stay in order. Every verdict on the events comes before the
        first of them is sent: on TooLarge and Overloaded nothing is kept; on BrokerUnavailable some may be in Kafka or
        get there yet, and all of them are to be sent again. Cancelling does not take back what was handed over.

        Raises: TooLarge, Overloaded, BrokerUnavailable.
        """
