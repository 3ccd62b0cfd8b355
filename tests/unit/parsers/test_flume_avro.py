"""AvroSourceProtocol byte by byte: the encoding, and which protocols of clients are Flume's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parsers.avro_protocol import PROTOCOL, why_different
from parsers.avro_reader import AvroReader
from parsers.event import Event
from parsers.flume_avro import Handshake, KnownClients, read_call, read_handshake
from parsers.flume_rpc import MOST_EVENTS, ProtocolError
from tests.support.rpc import avro_handshake, avro_request

EVENT = Event({"a": "1"}, b"x\xff")
HEAD = b"\x00\x16appendBatch"


def parse(message: bytes) -> list[Event] | None:
    return read_call(AvroReader(message), 1).events


def test_the_bytes_are_avros() -> None:
    message = HEAD + b"\x02" + b"\x02\x02a\x021\x00" + b"\x04x\xff" + b"\x00"
    assert parse(message) == [EVENT]
    assert avro_request("appendBatch", [EVENT]) == message


def test_blocks_with_their_size_and_several_of_them() -> None:
    sized = b"\x01\x08\x02a\x021" + b"\x02\x02a\x022\x02\x02b\x021\x00"
    assert parse(HEAD + b"\x01\x1e" + sized + b"\x00" + b"\x02\x00\x02y" + b"\x00") == [
        Event({"a": "2", "b": "1"}, b""),
        Event({}, b"y"),
    ]


def test_headers_that_are_not_utf_8_are_replaced_and_bodies_are_not() -> None:
    assert parse(HEAD + b"\x02\x02\x04\xe4b\x02\xff\x00\x02\xff\x00") == [Event({"\ufffdb": "\ufffd"}, b"\xff")]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "truncated"),
        (b"\x00", "truncated"),
        (HEAD, "truncated"),
        (HEAD + b"\x00\x00", "bad_message"),  # a byte more
        (HEAD + b"\xfe\xff\xff\xff\x0f", "truncated"),  # two billion events
        (HEAD + b"\x01", "truncated"),  # a block's size is missing
        (HEAD + b"\xff" * 9 + b"\x01\x00", "truncated"),  # -2 ** 63 events
        (HEAD + b"\xff" * 10 + b"\x01", "bad_message"),  # a number without end
        (HEAD + b"\x02\x00\x01", "truncated"),  # a body of -1 bytes
        (HEAD + b"\x02\x02\x01", "truncated"),  # a header's name of -1 bytes
        (HEAD + b"\x02\x00\xfe\xff\xff\xff\x0f", "truncated"),  # a body of 2 GiB
    ],
)
def test_hostile_messages_are_refused(message: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        parse(message)
    assert refused.value.reason == reason


def test_a_message_cannot_ask_for_more_objects_than_are_allowed() -> None:
    many = (MOST_EVENTS + 1) << 1
    count = bytes((many & 0x7F | 0x80, many >> 7 & 0x7F | 0x80, many >> 14))
    with pytest.raises(ProtocolError, match="100001 events"):
        parse(HEAD + count + b"\x00\x00" * (MOST_EVENTS + 1) + b"\x00")


def test_a_handshake() -> None:
    told = read_handshake(AvroReader(avro_handshake(b"c" * 16, "text", b"s" * 16, {"a": b"b"})))
    assert told == Handshake(b"c" * 16, "text", b"s" * 16)
    with pytest.raises(ProtocolError, match="branch 3"):
        read_handshake(AvroReader(b"c" * 16 + b"\x06"))
    with pytest.raises(ProtocolError, match="ends"):
        read_handshake(AvroReader(b"c" * 16))


def test_protocols_that_are_remembered_are_bounded() -> None:
    clients = KnownClients()
    for number in range(1_000):
        text = PROTOCOL + " " * number
        handshake = read_handshake(AvroReader(avro_handshake(bytes(16), text)))
        assert clients.greet(handshake).refusal is None
    assert len(clients._refusals) <= 100


def changed(**messages: Any) -> str:
    protocol = json.loads(PROTOCOL)
    protocol["messages"].update(messages)
    return json.dumps(protocol)


EVENT_TYPE = {"type": "record", "name": "E", "fields": []}
JAVA = {"type": "string", "avro.java.string": "String"}


@pytest.mark.parametrize(
    "protocol",
    [
        PROTOCOL,
        PROTOCOL.replace('"string"', json.dumps(JAVA)),
        PROTOCOL.replace('"UNKNOWN"', '"UNKNOWN","MORE"'),
        PROTOCOL.replace("AvroFlumeEvent", "Other").replace('"namespace"', '"doc":"x","namespace"'),
        PROTOCOL.replace('"items":"AvroFlumeEvent"', '"items":"org.apache.flume.source.avro.AvroFlumeEvent"'),
        '{"messages":{}}',
    ],
)
def test_what_is_flumes_on_the_wire(protocol: str) -> None:
    assert why_different(protocol) is None


@pytest.mark.parametrize(
    "protocol",
    [
        PROTOCOL.replace('"type":"bytes"', '"type":"string"'),
        PROTOCOL.replace('"values":"string"', '"values":"bytes"'),
        PROTOCOL.replace('"type":"bytes"', '"type":["null","bytes"]'),
        PROTOCOL.replace('"OK","FAILED"', '"FAILED","OK"'),
        PROTOCOL.replace('{"name":"body"', '{"name":"more","type":"int"},{"name":"body"'),
        changed(append={"request": [], "response": "Status"}),
        changed(append={"request": [{"name": "e", "type": EVENT_TYPE}], "response": "Status"}),
        changed(append={"request": [{"name": "e", "type": "AvroFlumeEvent"}], "response": "string"}),
        PROTOCOL + " " * 70_000,
        "[1]",
        "not JSON",
        "",
    ],
)
def test_what_is_not(protocol: str) -> None:
    assert why_different(protocol)
