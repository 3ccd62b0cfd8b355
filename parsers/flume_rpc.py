"""What Flume's two RPC protocols have in common: a request that carries events, and what can be wrong with it."""

from __future__ import annotations

from typing import NamedTuple

from parsers.errors import ParseError
from parsers.event import Event

# What one request may ask for in objects, whatever its bytes: an empty event is 5 bytes on the wire and 200 in memory.
# Flume's own batches have 100 events by default, rarely more than 10,000.
MOST_EVENTS = 100_000
MOST_HEADERS = 500_000

METHODS = {"append": False, "appendBatch": True}
"""The methods of both protocols; true where the argument is an array of events."""


class ProtocolError(ParseError):
    """Bytes that are not a message of the protocol. The stream they came on is of no more use."""


class Call(NamedTuple):
    """One request. `events` is None where the method is not one of `METHODS`."""

    method: str
    sequence: int
    events: list[Event] | None
    oneway: bool = False


def truncated() -> ProtocolError:
    """The message ends before what it announces."""
    return ProtocolError("truncated", "the message ends before its last field")


def too_many(what: str, count: int, most: int) -> ProtocolError:
    """More objects than one request may ask for."""
    return ProtocolError("too_many", f"{count} {what} in one request, {most} are the most")
