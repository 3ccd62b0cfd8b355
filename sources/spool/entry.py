"""How events lie in the spool: the events of one source that arrived together, as bytes."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from parsers.event import Event

_VERSION = 1
_HEAD = struct.Struct("<BQIH")  # version, arrival (epoch ms), how many events, bytes of the source's name
_LENGTH = struct.Struct("<I")
_AS_BEFORE = 0xFFFFFFFF  # in place of a length: the same headers as the event before


class EntryHead(NamedTuple):
    """What an entry says of itself before its events."""

    arrived_at_ms: int
    n_events: int
    source: str


class Entry(NamedTuple):
    """Events of one source, in their order."""

    arrived_at_ms: int
    source: str
    events: list[Event]


def encode(source: str, events: Sequence[Event], arrived_at_ms: int) -> bytes:
    """An entry as it is stored; `decode` is its inverse for any bodies and any headers that UTF-8 can say."""
    name = source.encode()
    parts = [_HEAD.pack(_VERSION, arrived_at_ms, len(events), len(name)), name]
    last: dict[str, str] | None = None
    for headers, body in events:
        if headers == last:
            parts.append(_LENGTH.pack(_AS_BEFORE))
        else:
            last = headers
            text = orjson.dumps(headers)
            parts += (_LENGTH.pack(len(text)), text)
        parts += (_LENGTH.pack(len(body)), body)
    return b"".join(parts)


def decode_head(stored: bytes) -> EntryHead:
    """Only what stands before the events."""
    version, arrived_at_ms, n_events, name_bytes = _HEAD.unpack_from(stored)
    if version != _VERSION:
        raise ValueError(f"an entry of version {version}, this program reads {_VERSION}")
    return EntryHead(arrived_at_ms, n_events, stored[_HEAD.size : _HEAD.size + name_bytes].decode())


def decode(stored: bytes) -> Entry:
    """The entry that was stored. Equal headers in a row are one shared dict, as the parsers have them.

    Raises: ValueError, struct.error for what `encode` has not made.
    """
    head = decode_head(stored)
    at = _HEAD.size + len(head.source.encode())
    events = []
    headers: dict[str, str] = {}
    for _ in range(head.n_events):
        (length,) = _LENGTH.unpack_from(stored, at)
        at += _LENGTH.size
        if length != _AS_BEFORE:
            headers = orjson.loads(stored[at : at + length])
            at += length
        (length,) = _LENGTH.unpack_from(stored, at)
        at += _LENGTH.size
        events.append(Event(headers, stored[at : at + length]))
        at += length
    if at != len(stored):
        raise ValueError(f"{len(stored)} bytes where {at} were expected")
    return Entry(head.arrived_at_ms, head.source, events)
