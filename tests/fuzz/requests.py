"""What an HTTP client may post: any content type, encoding, query and body."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Hashable

import zstandard

from parsers.errors import ParseError
from parsers.event import Event
from parsers.flume import parse_array, parse_ndjson
from sources.errors import BadRequest, SourceError, TooLarge
from sources.http import Limits, decode
from sources.inflate import gunzip, unzstd
from tests.fuzz.engine import Target, outcome_of, require

EVENTS = (
    b'[{"headers": {"type": "access_log", "host": "web-1"}, "body": "GET /"}, {"body": 1.50}, {"headers": null}]',
    b'[{"headers": {"a": true, "b": 1e5}, "body": "\\u00e4\\ud83d\\ude00"}]',
    '[{"body": "\u00e4\U0001f600"}]'.encode(),
    b"[]",
)
LINES = (b'{"body": "a"}\n{"headers": {"x": "y"}, "body": "b"}\r\n\n', b"first\r\nsecond\n\nthird")


_TYPES = ("application/json", "text/plain", "application/x-ndjson", None, "text/plain; charset=utf-16", "a/b; charset=")
_ENCODINGS = (None, "gzip", "zstd", "identity")
_LONGEST_FIELD = 8_190  # a longer header or address is answered 400 by the web server
LIMITS = Limits(body_bytes=1_000_000, events=10_000)


def check_events(events: list[Event]) -> None:
    """Every one can be sent to Kafka as it is."""
    for event in events:
        assert isinstance(event.body, bytes)
        for name, value in event.headers.items():
            name.encode()
            value.encode()


def _http(data: bytes) -> Hashable:
    """The first byte picks content type and encoding, the rest of the first line is the query."""
    first, _, body = data.partition(b"\n")
    first = first[:_LONGEST_FIELD]
    pick = first[0] if first else 0
    given = _TYPES[pick % len(_TYPES)]
    encoding = _ENCODINGS[pick // len(_TYPES) % len(_ENCODINGS)]
    query = first[1:].decode("latin-1")
    if pick > 200:
        given, query = query, ""
    try:
        events = decode(given, encoding, query, body, LIMITS)
    except SourceError as refused:
        require(refused.status in (400, 413, 415))
        require("\n" not in str(refused))
        return pick, outcome_of(refused)
    check_events(events)
    assert sum(len(event.body) for event in events) <= 6 * LIMITS.body_bytes
    return pick, min(len(events), 5)


def _inflate(data: bytes) -> Hashable:
    results = []
    for inflate in (gunzip, unzstd):
        try:
            content = inflate(data, LIMITS.body_bytes)
        except (BadRequest, TooLarge) as refused:
            results.append(outcome_of(refused))
        else:
            assert len(content) <= LIMITS.body_bytes
            results.append(str(len(content).bit_length()))
    return tuple(results)


def _flume(data: bytes) -> Hashable:
    results: list[Hashable] = []
    for parse in (parse_array, parse_ndjson):
        try:
            events = parse(data)
        except ParseError as refused:
            require("\n" not in str(refused))
            results.append(outcome_of(refused))
        else:
            check_events(events)
            results.append(min(len(events), 5))
    return tuple(results)


def _http_samples() -> list[bytes]:
    samples = []
    for number in range(len(_TYPES) * len(_ENCODINGS)):
        squeeze: Callable[[bytes], bytes] = {"gzip": gzip.compress, "zstd": zstandard.compress}.get(
            _ENCODINGS[number // len(_TYPES)] or "", bytes
        )
        for body in (*EVENTS, *LINES):
            samples.append(bytes([number]) + b"type=access_log&host=web-1&x=%C3%A4\n" + squeeze(body))
    samples.append(b'\xf0text/plain; charset="utf-8"; x=y\n' + LINES[1])
    return samples


_BOMB = b"\0" * 3_000_000
_SQUEEZED = (
    gzip.compress(b"content"),
    gzip.compress(b"one") + gzip.compress(b"two") + b"\0\0\0",
    gzip.compress(_BOMB),
    zstandard.compress(b"content"),
    zstandard.compress(b"one") + zstandard.compress(b"two"),
    zstandard.compress(_BOMB),
    zstandard.ZstdCompressor(write_content_size=False, write_checksum=True).compress(b"abc" * 3000),
)

REQUESTS = (
    Target("http", _http_samples(), _http, (b"charset=utf-16", b"utf-32", b'"headers"', b'"body"', b"\x1f\x8b")),
    Target("inflate", _SQUEEZED, _inflate, (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd")),
    Target(
        "flume",
        (*EVENTS, *LINES),
        _flume,
        max_bytes=262_144,
        words=(b'"headers"', b'"body"', b'{"body":', b"[{", b"}]", b"}{"),
    ),
)
