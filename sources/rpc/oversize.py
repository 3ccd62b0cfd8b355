"""Events that are larger than the brokers take are split, as Flume's protocols have no way to refuse one for good."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from parsers.event import Event

PIECE_HEADER = "piece"
"""On every record that is a piece of a larger event: 1, 2, 3 ..., as on the pieces of a file's long lines."""

MORE_HEADER = "more"
"""`true` on all pieces but the last."""

HOLDS_HEADER = "holds"
"""`headers` on a piece whose body is the JSON object of headers that had no room in a record."""

# What decides where a record goes keeps its place in the record's headers before all else.
_KEPT_FIRST = ("host", "type", "service", "logger", "timestamp")
# What a record takes besides its texts, at most, with the headers above.
_RECORD_BYTES = 256
_HEADER_BYTES = 16
_LEAST_LIMIT_BYTES = 2_048


def fit(events: Sequence[Event], limit_bytes: int) -> list[Event]:
    """The events, those that would be more than `limit_bytes` as a record in pieces that are not, in place of them.

    Nothing is lost: the bodies of the pieces, in their order, make the event's. Pieces keep its headers, or as many as
    half a record holds; the others are the bodies of further pieces. Below 2 KiB nothing is split.
    """
    if limit_bytes < _LEAST_LIMIT_BYTES:
        return list(events)
    fitting: list[Event] = []
    for event in events:
        if _RECORD_BYTES + _headers_bytes(event.headers) + len(event.body) <= limit_bytes:
            fitting.append(event)
        else:
            fitting += _pieces(event, limit_bytes)
    return fitting


def _pieces(event: Event, limit_bytes: int) -> list[Event]:
    kept, dropped = _divide(event.headers, (limit_bytes - _RECORD_BYTES) // 2)
    room = limit_bytes - _RECORD_BYTES - _headers_bytes(kept)
    bodies = _cut(event.body, room) or [b""]
    holding = _cut(orjson.dumps(dropped), room) if dropped else []
    pieces = []
    for number, body in enumerate([*bodies, *holding], 1):
        headers = {**kept, PIECE_HEADER: str(number)}
        if number < len(bodies) + len(holding):
            headers[MORE_HEADER] = "true"
        if number > len(bodies):
            headers[HOLDS_HEADER] = "headers"
        pieces.append(Event(headers, body))
    return pieces


def _divide(headers: dict[str, str], room_bytes: int) -> tuple[dict[str, str], dict[str, str]]:
    """Headers that fit into so many bytes, and the others."""
    kept: dict[str, str] = {}
    first = [name for name in _KEPT_FIRST if name in headers]
    for name in [*first, *(name for name in headers if name not in _KEPT_FIRST)]:
        n_bytes = _header_bytes(name, headers[name])
        if n_bytes <= room_bytes:
            room_bytes -= n_bytes
            kept[name] = headers[name]
    return kept, {name: value for name, value in headers.items() if name not in kept}


def _headers_bytes(headers: dict[str, str]) -> int:
    return sum(_header_bytes(name, value) for name, value in headers.items())


def _header_bytes(name: str, value: str) -> int:
    times = 2 if name == "host" else 1  # it is the record's key, too
    return _HEADER_BYTES + len(name.encode()) + times * len(value.encode())


def _cut(body: bytes, n_bytes: int) -> list[bytes]:
    return [body[start : start + n_bytes] for start in range(0, len(body), n_bytes)]
