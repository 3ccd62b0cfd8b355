"""Flume's JSON events (JSONHandler): an array of them, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

import orjson

from parsers.errors import ParseError
from parsers.event import Event
from parsers.packed import PackedEvents

try:
    from parsers import _flume as compiled
except ImportError:  # no C compiler where Sluice was installed: all goes the way below, which takes longer
    compiled = None  # type: ignore[assignment]

_UTF8_MARK = b"\xef\xbb\xbf"
# Headers of clients that send the same in every request, which most do: as text, and as what it says.
_MOST_REMEMBERED: Final = 2_048
_LONGEST_REMEMBERED_BYTES: Final = 1_024
_remembered: dict[bytes, dict[str, str]] = {}


def parse_array(document: bytes) -> Sequence[Event]:
    """The events of a JSON array of `{"headers": {string: string}, "body": string}`, in UTF-8, in their order.

    Both keys may be absent or null; other keys are ignored, of duplicate keys the last wins; numbers and booleans count
    as their JSON text. Text that UTF-8 can't hold (an unpaired surrogate such as `\\ud800`) is refused.

    Events may share their headers' dict, also with those of other documents: it is not to be changed.

    Raises: ParseError saying in one line which event is wrong (counted from 1) and how.
    """
    if compiled is not None:
        found = compiled.scan(document, _headers)
        if found is not None:
            return PackedEvents(*found)
    return parse_array_exactly(document)


def parse_array_exactly(document: bytes) -> list[Event]:
    """The same by Python alone: the reference, and the way of all that the compiled one leaves to it."""
    try:
        return _events_of_text(_array(orjson.loads(document.removeprefix(_UTF8_MARK))))
    except (orjson.JSONDecodeError, _Unusual):
        pass
    events = []
    for number, value in enumerate(_array(_loads_exactly(document)), 1):
        try:
            events.append(_event(value))
        except ParseError as error:
            raise ParseError(error.reason, f"event {number}: {error}") from None
    return events


def parse_ndjson(document: bytes) -> list[Event]:
    """The events of newline-delimited JSON in UTF-8, each an object as in `parse_array`; blank lines are skipped.

    Raises: ParseError saying in one line which line is wrong (counted from 1) and how.
    """
    lines = document.removeprefix(_UTF8_MARK).split(b"\n")
    try:
        return _events_of_text(orjson.loads(line) for line in lines if line and not line.isspace())
    except (orjson.JSONDecodeError, _Unusual):
        pass
    events = []
    for number, line in enumerate(lines, 1):
        if not line or line.isspace():
            continue
        try:
            events.append(_event(_loads_exactly(line)))
        except ParseError as error:
            raise ParseError(error.reason, f"line {number}: {error}") from None
    return events


def _headers(text: bytes) -> dict[str, str] | None:
    """Headers of text by their JSON; None if it is anything else. Called by the compiled part."""
    known = _remembered.get(text)
    if known is not None:
        return known
    try:
        (event,) = _events_of_text([{"headers": orjson.loads(text)}])
    except (orjson.JSONDecodeError, _Unusual):
        return None
    if len(text) <= _LONGEST_REMEMBERED_BYTES:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[text] = event.headers
    return event.headers


# The usual case, quickly: strict JSON in which every header and body is a string. Whatever else there is, right
# or wrong, is left to the exact way below.


class _Unusual(Exception):
    """Not every header and body is a string: go the exact way."""


def _events_of_text(values: Iterable[Any]) -> list[Event]:
    events: list[Event] = []
    append = events.append
    for value in values:
        if type(value) is not dict:
            raise _Unusual
        headers = value.get("headers")
        if headers is None:
            headers = {}
        elif type(headers) is not dict:
            raise _Unusual
        for text in headers.values():
            if type(text) is not str:
                raise _Unusual
        body = value.get("body")
        if body is None:
            body = ""
        elif type(body) is not str:
            raise _Unusual
        append(Event(headers, body.encode()))
    return events


# The exact way: the standard library's parser hands out numbers as they were written, and its verdict is the one that
# counts where orjson is narrower (it refuses 1e999 and unpaired surrogates even under keys that don't matter here).


class _Number(str):
    """A JSON number as it was written: 1.0, 1e5 and 12345678901234567890 keep their text."""

    __slots__ = ()


def _no_constant(name: str) -> NoReturn:
    raise ParseError("bad_json", f"not JSON: {name} is no JSON value")


_exact = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_no_constant).decode


def _loads_exactly(document: bytes) -> Any:
    if not document or document.isspace():
        raise ParseError("empty", "the body is empty, expected JSON")
    try:
        return _exact(document.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ParseError("bad_charset", f"not UTF-8: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ParseError("bad_json", f"not JSON: {error}") from None
    except RecursionError:
        raise ParseError("bad_json", "nested too deep") from None


def _array(value: Any) -> list[Any]:
    if type(value) is not list:
        raise ParseError("not_an_array", f"expected a JSON array of events, got {_kind(value)}")
    return value


def _event(value: Any) -> Event:
    if type(value) is not dict:
        raise ParseError("not_an_object", f"expected an object, got {_kind(value)}")
    headers = value.get("headers")
    if headers is None:
        headers = {}
    elif type(headers) is not dict:
        raise ParseError("bad_headers", f"headers are {_kind(headers)}, not an object")
    named = {}
    for name, given in headers.items():
        what = f"header {_quote(name)}"
        _refuse_surrogates(name, "bad_header", what)
        named[name] = _text(given, "bad_header", what)
    body = value.get("body")
    return Event(named, b"" if body is None else _text(body, "bad_body", "body").encode())


def _text(value: Any, reason: str, what: str) -> str:
    if type(value) is str:
        _refuse_surrogates(value, reason, what)
        return value
    if type(value) is _Number:
        return str(value)
    if type(value) is bool:
        return "true" if value else "false"
    raise ParseError(reason, f"{what} is {_kind(value)}, not a string")


def _refuse_surrogates(text: str, reason: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ParseError(reason, f"{what} holds an unpaired surrogate, which UTF-8 can't store") from None


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if type(value) is bool:
        return "a boolean"
    if type(value) is str:
        return "a string"
    if type(value) is list:
        return "an array"
    return "an object" if type(value) is dict else "a number"


def _quote(name: str) -> str:
    """A header's name, short and on one line of ASCII, whatever it holds."""
    return ascii(name if len(name) <= 60 else name[:57] + "...")
