"""The HTTP source: an ingest request's body becomes events, or the verdict on it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from parsers.charset import known_charset, to_utf8
from parsers.errors import ParseError
from parsers.event import Event
from parsers.flume import parse_array, parse_ndjson
from parsers.lines import split_lines
from sources.errors import BadRequest, TooLarge, Unsupported
from sources.inflate import gunzip, unzstd

__all__ = ["Limits", "decode"]

_PARAMETER = re.compile(r';\s*([^\s=;]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;]*)')
# What `curl -d` says, and no content type at all, are Flume's format too: its clients are that careless.
_FORMATS = {
    "": "flume",
    "application/json": "flume",
    "application/x-www-form-urlencoded": "flume",
    "application/x-ndjson": "ndjson",
    "text/plain": "lines",
}
_INFLATE: dict[str, Callable[[bytes, int], bytes]] = {"gzip": gunzip, "x-gzip": gunzip, "zstd": unzstd}


class Limits(NamedTuple):
    """How much one request may be: its body, also when inflated, and how many events it may hold."""

    body_bytes: int
    events: int


def decode(
    content_type: str | None, content_encoding: str | None, query: str, body: bytes, limits: Limits
) -> Sequence[Event]:
    """The events of one request, in their order; none at all is fine.

    `query` is the part of the address after `?`, as it was sent: the headers of `text/plain` events (one shared dict).
    Pure and without waiting, but slow for large bodies (10 ms a MiB): call it in a thread for those.

    Raises: BadRequest, TooLarge, Unsupported; any other exception is a bug.
    """
    form, charset = _media_type(content_type or "")
    if content_encoding:
        body = _inflated(content_encoding, body, limits.body_bytes)
    if len(body) > limits.body_bytes:
        raise TooLarge("body_too_large", f"the body is larger than {limits.body_bytes} bytes")
    try:
        if charset is not None:
            body = to_utf8(body, charset)
        if form == "flume":
            events: Sequence[Event] = parse_array(body)
        elif form == "ndjson":
            _check_lines(body, limits)
            events = parse_ndjson(body)
        else:
            _check_lines(body, limits)
            headers = _query_headers(query)
            events = [Event(headers, line) for line in split_lines(body)]
    except ParseError as error:
        raise BadRequest(error.reason, str(error)) from None
    if len(events) > limits.events:
        raise _too_many(limits)
    return events


@lru_cache(maxsize=128)  # clients send the same few types all day long
def _media_type(content_type: str) -> tuple[str, str | None]:
    """The format and charset that a Content-Type names."""
    name, separator, parameters = content_type.partition(";")
    form = _FORMATS.get(name.strip().lower())
    if form is None:
        raise Unsupported("content_type", f"content type {_quote(name.strip())} is not one that Sluice reads")
    charset = None
    for parameter, value in _PARAMETER.findall(separator + parameters):
        if parameter.lower() == "charset" and charset is None:
            charset = value.strip('"')
    if charset is not None and not known_charset(charset):
        raise Unsupported("charset", f"charset {_quote(charset)} is none of utf-8, utf-16 and utf-32")
    return form, charset


def _inflated(content_encoding: str, body: bytes, max_bytes: int) -> bytes:
    name = content_encoding.strip().lower()
    if name in ("", "identity"):
        return body
    inflate = _INFLATE.get(name)
    if inflate is None:
        raise Unsupported("content_encoding", f"content encoding {_quote(name)} is neither gzip nor zstd")
    return inflate(body, max_bytes)


def _check_lines(body: bytes, limits: Limits) -> None:
    """Count before splitting: sixteen million empty lines would be sixteen million objects."""
    if body.count(b"\n") > limits.events:
        raise _too_many(limits)


def _query_headers(query: str) -> dict[str, str]:
    try:
        headers = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
        for name, value in headers.items():
            name.encode()
            value.encode()
    except UnicodeError:
        raise BadRequest("bad_header", "the query string is not UTF-8") from None
    return headers


def _too_many(limits: Limits) -> TooLarge:
    return TooLarge("too_many_events", f"more than {limits.events} events in one request")


def _quote(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")
