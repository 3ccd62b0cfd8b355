"""A request's body becomes events, or the verdict of the contract's table."""

from __future__ import annotations

import gzip

import pytest
import zstandard

from parsers.event import Event
from sources.errors import BadRequest, SourceError, TooLarge, Unsupported
from sources.http import Limits, decode

LIMITS = Limits(body_bytes=10_000, events=100)
ARRAY = b'[{"headers": {"host": "web-1"}, "body": "x"}]'
EVENTS = [Event({"host": "web-1"}, b"x")]


def taken(body: bytes, content_type: str | None = None, encoding: str | None = None, query: str = "") -> list[Event]:
    return decode(content_type, encoding, query, body, LIMITS)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "Application/JSON",
        " application/json ; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; version=1; charset=utf8; charset=latin-1",
        'application/json; boundary="a;charset=latin-1"',
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
    ],
)
def test_flumes_format_by_any_of_its_names(content_type: str | None) -> None:
    assert taken(ARRAY, content_type) == EVENTS


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "application/xml",
        "application/jsonp",
        "json",
        "text/plain2",
        "multipart/form-data; boundary=x",
        "*/*",
    ],
)
def test_other_content_types_are_415(content_type: str) -> None:
    with pytest.raises(Unsupported) as refused:
        taken(ARRAY, content_type)
    assert (refused.value.status, refused.value.reason) == (415, "content_type")


@pytest.mark.parametrize("form", ["application/json", "text/plain", "application/x-ndjson"])
@pytest.mark.parametrize("charset", ["iso-8859-1", "latin-1", "us-ascii", "windows-1252", "", "\u0130", "x" * 5000])
def test_other_charsets_are_415_in_every_format(form: str, charset: str) -> None:
    with pytest.raises(Unsupported) as refused:
        taken(ARRAY, f"{form}; charset={charset}")
    assert (refused.value.status, refused.value.reason) == (415, "charset")
    assert len(str(refused.value)) < 200
    assert str(refused.value).isascii()


@pytest.mark.parametrize("charset", ["utf-16", "utf-16le", "utf-32", "UTF-32BE"])
@pytest.mark.parametrize("form", ["application/json", "application/x-ndjson", "text/plain"])
def test_bodies_are_stored_as_utf8_whatever_the_charset(form: str, charset: str) -> None:
    line = "Grüße 世界 😀"
    text = {"application/json": f'[{{"body": "{line}"}}]', "application/x-ndjson": f'{{"body": "{line}"}}\n'}
    body = text.get(form, f"{line}\r\n").encode(charset)
    assert taken(body, f"{form}; charset={charset}") == [Event({}, line.encode())]


def test_plain_text_is_an_event_a_line_with_headers_from_the_query() -> None:
    events = taken(
        b"one\r\n\ntwo", "text/plain", query="type=access_log&host=web-1&type=catalina&empty=&a+b=%C3%A9%20+"
    )
    headers = {"type": "catalina", "host": "web-1", "empty": "", "a b": "é  "}
    assert events == [Event(headers, b"one"), Event(headers, b"two")]


def test_plain_text_bytes_are_kept_as_they_are() -> None:
    body = bytes(byte for byte in range(256) if byte != 10)
    assert taken(body, "text/plain") == [Event({}, body)]


@pytest.mark.parametrize("query", ["", "&&", "%zz=1", "a;b=c", "=v", "a=%00"])
def test_odd_query_strings_are_no_reason_to_fail(query: str) -> None:
    (event,) = taken(b"x", "text/plain", query=query)
    assert event.body == b"x"


@pytest.mark.parametrize("query", ["a=%ff", "%ff=a", "a=%ed%a0%80", "a=\udcff", "a%C3=1"])
def test_a_query_that_is_not_utf8_is_400(query: str) -> None:
    with pytest.raises(BadRequest) as refused:
        taken(b"x", "text/plain", query=query)
    assert refused.value.reason == "bad_header"


def test_json_takes_no_headers_from_the_query() -> None:
    assert taken(ARRAY, "application/json", query="type=x") == EVENTS


@pytest.mark.parametrize("encoding", [None, "", "identity", " Identity "])
def test_not_encoded(encoding: str | None) -> None:
    assert taken(ARRAY, None, encoding) == EVENTS


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
@pytest.mark.parametrize("form", ["application/json; charset=utf-16", "application/x-ndjson; charset=utf-16"])
def test_gzip_around_any_format_and_charset(encoding: str, form: str) -> None:
    text = '[{"body": "x"}]' if "ndjson" not in form else '{"body": "x"}'
    assert taken(gzip.compress(text.encode("utf-16")), form, encoding) == [Event({}, b"x")]


def test_zstd() -> None:
    assert taken(zstandard.compress(b"one\ntwo"), "text/plain", "zstd") == [Event({}, b"one"), Event({}, b"two")]


@pytest.mark.parametrize(
    "encoding", ["br", "deflate", "gzip, gzip", "gzip,zstd", "identity, gzip", "gzip;q=1", "x" * 9000]
)
def test_other_encodings_are_415(encoding: str) -> None:
    with pytest.raises(Unsupported) as refused:
        taken(ARRAY, None, encoding)
    assert (refused.value.status, refused.value.reason) == (415, "content_encoding")
    assert len(str(refused.value)) < 200


def test_the_size_limit_holds_for_the_body_and_the_inflated_body() -> None:
    assert len(taken(b"x" * 10_000, "text/plain")[0].body) == 10_000
    for body, encoding in [
        (b"x" * 10_001, None),
        (gzip.compress(b"x" * 10_001), "gzip"),
        (zstandard.compress(b"x" * 10_001), "zstd"),
    ]:
        with pytest.raises(TooLarge) as refused:
            taken(body, "text/plain", encoding)
        assert (refused.value.status, refused.value.reason) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"[" + b"{}," * 100 + b"{}]", None), (b"{}\n" * 101, "application/x-ndjson"), (b"x\n" * 101, "text/plain")],
)
def test_more_events_than_memory_has_room_for_are_413(body: bytes, content_type: str | None) -> None:
    with pytest.raises(TooLarge) as refused:
        taken(body, content_type)
    assert refused.value.reason == "too_many_events"


def test_as_many_events_as_there_is_room_for() -> None:
    assert len(taken(b"x\n" * 100, "text/plain")) == 100
    assert len(taken(b"[" + b"{}," * 99 + b"{}]")) == 100


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_what_the_parser_refuses_is_400_in_one_line(content_type: str) -> None:
    with pytest.raises(BadRequest) as refused:
        taken(b'[{"body": null}', content_type)
    assert (refused.value.status, refused.value.retriable) == (400, False)
    assert "\n" not in str(refused.value)


def test_verdicts_are_source_errors() -> None:
    assert issubclass(BadRequest, SourceError)
    assert issubclass(TooLarge, SourceError)
    assert issubclass(Unsupported, SourceError)
