"""Whatever bytes come, the RPC codecs give a call or a ProtocolError; what reference libraries write is read back."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parsers.avro_protocol import why_different
from parsers.avro_reader import AvroReader
from parsers.event import Event
from parsers.flume_avro import KnownClients, read_call, read_handshake
from parsers.flume_rpc import Call, ProtocolError
from parsers.flume_thrift import CODECS
from sources.rpc.oversize import HOLDS_HEADER, MORE_HEADER, PIECE_HEADER, fit
from tests.support.rpc import avro_handshake, avro_request, thrift_request

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
EVENTS = st.lists(
    st.builds(Event, st.dictionaries(TEXT, TEXT, max_size=5), st.binary(max_size=300)), min_size=1, max_size=8
)
METHOD = st.sampled_from(["append", "appendBatch"])
SEQUENCE = st.integers(0, 2**31 - 1)


def avro_session(message: bytes) -> Call | None:
    """The first message of a connection, as the source reads it."""
    reader = AvroReader(message)
    greeting = KnownClients().greet(read_handshake(reader))
    return read_call(reader, 1) if greeting.refusal is None and greeting.match != 2 else None


CODEC: dict[str, Callable[[bytes], Call | None]] = {
    "compact": CODECS["compact"].parse,
    "binary": CODECS["binary"].parse,
    "avro": lambda message: read_call(AvroReader(message), 1),
    "avro with its handshake": avro_session,
}


def valid(codec: str, method: str, events: list[Event]) -> bytes:
    if codec in CODECS:
        return thrift_request(codec, method, events)
    return (avro_handshake() if codec == "avro with its handshake" else b"") + avro_request(method, events)


def check(codec: str, message: bytes) -> None:
    call = error = None
    try:
        call = CODEC[codec](message)
    except ProtocolError as raised:
        error = raised
    if error is not None:
        assert error.reason in {"truncated", "bad_message", "too_many"}
        assert len(str(error)) < 300
        assert "\n" not in str(error)
    for headers, body in (call.events if call else None) or ():
        assert type(body) is bytes
        for text in (*headers, *headers.values()):
            text.encode()  # no lone surrogate may come out
        assert sum(map(len, (*headers, *headers.values()))) + len(body) <= len(message)


@pytest.mark.parametrize("codec", CODEC)
@given(message=st.binary(max_size=200))
@example(message=b"")
@example(message=b"\x82\x21" + b"\xff" * 20)
@example(message=b"\x80\x01\x00\x01\x7f\xff\xff\xff")
@example(message=b"\xff" * 200)
@example(message=b"\x00" * 200)
def test_random_bytes_give_nothing_or_a_protocol_error(codec: str, message: bytes) -> None:
    check(codec, message)


@pytest.mark.parametrize("codec", CODEC)
@settings(max_examples=300)
@given(data=st.data(), method=METHOD, events=EVENTS)
def test_mutated_messages_give_events_or_a_protocol_error(
    codec: str, data: st.DataObject, method: str, events: list[Event]
) -> None:
    message = bytearray(valid(codec, method, events))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(message)))
        change = data.draw(st.sampled_from(["flip", "cut", "insert", "repeat"]))
        if change == "flip" and at < len(message):
            message[at] = data.draw(st.integers(0, 255))
        elif change == "cut":
            del message[at : at + data.draw(st.integers(0, 20))]
        elif change == "insert":
            message[at:at] = data.draw(st.binary(max_size=8))
        else:
            message[at:at] = message[: data.draw(st.integers(0, 100))]
    check(codec, bytes(message))


@pytest.mark.parametrize("codec", ["compact", "binary"])
@given(method=METHOD, events=EVENTS, sequence=SEQUENCE)
def test_thrift_reads_what_thriftpy2_writes(codec: str, method: str, events: list[Event], sequence: int) -> None:
    call = CODECS[codec].parse(thrift_request(codec, method, events, sequence))
    assert call == Call(method, sequence, events[:1] if method == "append" else events)


@given(method=METHOD, events=EVENTS)
def test_avro_reads_what_fastavro_writes(method: str, events: list[Event]) -> None:
    call = read_call(AvroReader(avro_request(method, events)), 5)
    assert call == Call(method, 5, events[:1] if method == "append" else events)
    assert avro_session(avro_handshake() + avro_request(method, events)) is not None


@pytest.mark.parametrize("codec", CODEC)
@given(method=METHOD, events=EVENTS)
@settings(max_examples=20)
def test_every_message_that_is_cut_short_is_refused(codec: str, method: str, events: list[Event]) -> None:
    message = valid(codec, method, events)
    for length in range(len(message)):
        with pytest.raises(ProtocolError):
            CODEC[codec](message[:length])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["record", "map", "string"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "types", "append", "appendBatch", "request", "response", "type", "name", "fields"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(protocol=st.text(max_size=100) | JSON.map(lambda value: json.dumps(value)))
@example(protocol="[" * 60_000)
@example(protocol='{"messages":{},"types":[{"name":"A","type":"A"}]}')
@example(protocol='{"types":[{"name":"A","type":"A"}],"messages":{"append":{"request":[{"type":"A"}],"response":"A"}}}')
def test_any_protocol_of_a_client_gets_a_verdict(protocol: str) -> None:
    verdict = why_different(protocol)
    assert verdict is None or verdict.isprintable()


@given(
    headers=st.dictionaries(
        st.sampled_from(["host", "type", "x", "y"]) | TEXT.map("_{}".format), st.text(max_size=4_000), max_size=6
    ),
    body=st.binary(max_size=30_000),
    limit=st.integers(2_048, 20_000),
)
def test_parts_of_an_event_fit_and_hold_all_of_it(headers: dict[str, str], body: bytes, limit: int) -> None:
    headers = {name: value.encode("utf-8", "replace").decode() for name, value in headers.items()}
    parts = fit([Event(headers, body)], limit)
    for part in parts:
        size = sum(len(name.encode()) + len(value.encode()) + 10 for name, value in part.headers.items())
        assert size + len(part.headers.get("host", "").encode()) + len(part.body) + 104 <= limit
    if len(parts) == 1:
        assert parts == [Event(headers, body)]
        return
    added = (PIECE_HEADER, MORE_HEADER, HOLDS_HEADER)
    assert [part.headers[PIECE_HEADER] for part in parts] == [str(number) for number in range(1, len(parts) + 1)]
    assert [MORE_HEADER in part.headers for part in parts] == [True] * (len(parts) - 1) + [False]
    bodies = [part.body for part in parts if HOLDS_HEADER not in part.headers]
    assert b"".join(bodies) == body
    held = b"".join(part.body for part in parts if HOLDS_HEADER in part.headers)
    dropped = json.loads(held) if held else {}
    kept = {name: value for name, value in parts[0].headers.items() if name not in added}
    assert {**kept, **dropped} == headers
