"""Any request whatever is events or a verdict; what was written by a correct client is read back exactly."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from parsers.errors import ParseError
from parsers.event import Event
from parsers.flume import parse_array, parse_array_exactly, parse_ndjson
from parsers.lines import split_lines
from parsers.packed import PackedEvents
from sources.errors import BadRequest, SourceError, TooLarge
from sources.http import Limits, decode
from sources.inflate import gunzip, unzstd

LIMITS = Limits(body_bytes=100_000, events=1_000)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
EVENTS = st.lists(st.tuples(st.dictionaries(TEXT, TEXT, max_size=4), TEXT), max_size=8)
CHARSETS = st.sampled_from(["utf-8", "utf-16", "utf-16le", "utf-16be", "utf-32", "utf-32le", "utf-32be"])
JSON_NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
# Close to right and wrong somewhere: where a parser has its edges.
NEARLY = st.text(st.sampled_from('[]{}",:\\ \n\r\t0123456789.eE+-truefalsnubodyhers/\ud800\ufeff\0é😀'), max_size=80)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["headers", "body", "x"]), inner),
    max_leaves=12,
)


@given(
    st.one_of(
        st.none(), st.text(max_size=40), st.sampled_from(["text/plain", "application/x-ndjson", "application/json"])
    ),
    st.one_of(st.none(), st.text(max_size=10), st.sampled_from(["gzip", "zstd", "identity"])),
    st.text(max_size=40),
    st.one_of(st.binary(max_size=300), NEARLY.map(lambda text: text.encode("utf-8", "surrogatepass"))),
)
def test_any_request_is_events_or_a_verdict(
    content_type: str | None, content_encoding: str | None, query: str, body: bytes
) -> None:
    events, refused = _verdict(content_type, content_encoding, query, body)
    if refused is not None:
        assert refused.status in (400, 413, 415)
        assert refused.reason.isidentifier()
        assert "\n" not in str(refused)
    for event in events:
        assert isinstance(event.body, bytes)
        for name, value in event.headers.items():
            name.encode()
            value.encode()


def _verdict(
    content_type: str | None, content_encoding: str | None, query: str, body: bytes
) -> tuple[list[Event], SourceError | None]:
    try:
        return decode(content_type, content_encoding, query, body, LIMITS), None
    except SourceError as refused:
        return [], refused


@given(st.lists(JSON, max_size=4), st.booleans())
def test_any_json_is_events_or_says_which_one_is_wrong(values: list[object], surrogates_escaped: bool) -> None:
    document = json.dumps(values, ensure_ascii=surrogates_escaped).encode("utf-8", "surrogatepass")
    events, refused = _verdict(None, None, "", document)
    if refused is not None:
        assert str(refused).startswith(("event ", "not JSON", "not UTF-8"))
    else:
        assert len(events) == len(values)


@given(EVENTS, CHARSETS, st.booleans())
def test_what_a_client_wrote_is_read_back(
    written: list[tuple[dict[str, str], str]], charset: str, ascii_only: bool
) -> None:
    document = json.dumps([{"headers": headers, "body": body} for headers, body in written], ensure_ascii=ascii_only)
    events = decode(f"application/json; charset={charset}", None, "", document.encode(charset), LIMITS)
    assert events == [Event(headers, body.encode()) for headers, body in written]


@given(EVENTS, st.lists(st.sampled_from(["", "  ", "\r", "\t\r"]), max_size=3))
def test_ndjson_reads_the_same_events(written: list[tuple[dict[str, str], str]], blank: list[str]) -> None:
    lines = [json.dumps({"headers": headers, "body": body}) for headers, body in written]
    document = "\n".join([*blank, *lines, *blank]).encode()
    assert parse_ndjson(document) == [Event(headers, body.encode()) for headers, body in written]


PIECES = st.sampled_from(
    [
        *('{"headers":', '"headers"', '{"a":"b"}', '"body":', '"body"', '{"body": "x"}', "{}", "12345678", "é", "😀"),
        *("[", "]", "{", "}", ",", ":", '"', "\\", " ", "\n", "\0", "\\u00e9", "\\ud83d", "\\ude00", "\\n"),
        *("null", "1", "true"),
    ]
)
USUAL = EVENTS.filter(len).flatmap(
    lambda written: st.builds(
        lambda ascii_only, separators: json.dumps(
            [{"headers": headers, "body": body} for headers, body in written],
            ensure_ascii=ascii_only,
            separators=separators,
        ).encode(),
        st.booleans(),
        st.sampled_from([None, (",", ":"), (" ,\n", "\t: ")]),
    )
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A usual document with bytes changed, taken out, put in or repeated."""
    document = bytearray(draw(USUAL))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(document)))
        until = draw(st.integers(at, min(len(document), at + 12)))
        document[at:until] = draw(
            st.binary(max_size=4) | PIECES.map(str.encode) | st.just(bytes(document[at:until]) * 2)
        )
    return bytes(document)


def outcome(parse: Callable[[bytes], Sequence[Event]], document: bytes) -> object:
    try:
        return [(list(event.headers.items()), event.body) for event in parse(document)]
    except ParseError as error:
        return error.reason, str(error)


@settings(max_examples=1_000)
@given(mutated() | st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode()) | st.binary(max_size=60))
def test_the_compiled_part_changes_nothing(document: bytes) -> None:
    assert outcome(parse_array, document) == outcome(parse_array_exactly, document)


@given(USUAL)
def test_the_compiled_part_reads_what_clients_write(document: bytes) -> None:
    assert isinstance(parse_array(document), PackedEvents)
    assert outcome(parse_array, document) == outcome(parse_array_exactly, document)


@given(JSON_NUMBER, JSON_NUMBER)
def test_numbers_keep_their_text(header: str, body: str) -> None:
    (event,) = parse_array(f'[{{"headers": {{"n": {header}}}, "body": {body}}}]'.encode())
    assert event == Event({"n": header}, body.encode())
    assert Decimal(event.headers["n"]) == Decimal(header)


@given(EVENTS, st.integers(min_value=0, max_value=7))
def test_an_unusual_event_changes_no_other(written: list[tuple[dict[str, str], str]], at: int) -> None:
    values: list[dict[str, object]] = [{"headers": headers, "body": body} for headers, body in written]
    values.insert(at, {"body": 1.5})
    events = parse_array(json.dumps(values).encode())
    place = min(at, len(written))
    assert events.pop(place) == Event({}, b"1.5")
    assert events == [Event(headers, body.encode()) for headers, body in written]


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"").rstrip(b"\r"))), st.booleans())
def test_lines_are_kept_byte_by_byte(lines: list[bytes], carriage_return: bool) -> None:
    text = (b"\r\n" if carriage_return else b"\n").join(lines)
    assert split_lines(text) == [line for line in lines if line]


@pytest.mark.parametrize(
    ("compress", "inflate"), [(gzip.compress, gunzip), (zstandard.compress, unzstd)], ids=["gzip", "zstd"]
)
class TestInflate:
    @given(parts=st.lists(st.binary(max_size=3_000), min_size=1, max_size=5))
    def test_any_members_are_joined(self, compress, inflate, parts: list[bytes]) -> None:
        whole = b"".join(parts)
        body = b"".join(compress(part) for part in parts)
        assert inflate(body, len(whole)) == whole
        if whole:
            with pytest.raises(TooLarge):
                inflate(body, len(whole) - 1)

    @given(content=st.binary(min_size=1, max_size=500), data=st.data())
    def test_damage_is_a_verdict_or_harmless(self, compress, inflate, content: bytes, data: st.DataObject) -> None:
        body = bytearray(compress(content))
        at = data.draw(st.integers(0, len(body) - 1))
        body[at] ^= data.draw(st.integers(1, 255))
        try:
            inflated = inflate(bytes(body), 10_000)
        except (BadRequest, TooLarge):
            return
        assert len(inflated) <= 10_000
