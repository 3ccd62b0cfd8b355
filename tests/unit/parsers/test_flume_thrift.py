"""ThriftSourceProtocol byte by byte: what is skipped, what is refused, and what answers look like."""

from __future__ import annotations

import pytest
from thriftpy2.thrift import TApplicationException

from parsers.event import Event
from parsers.flume_rpc import MOST_EVENTS, MOST_HEADERS, Call, ProtocolError
from parsers.flume_thrift import CODECS, FAILED, OK, UNKNOWN_METHOD
from tests.support.rpc import ThriftAnswer, thrift_answer, thrift_request

EVENT = Event({"host": "web-1", "type": "t"}, b"body\x00\xff")

# append(event) with sequence number 5, by hand.
COMPACT = (
    b"\x82\x21\x05\x06append"
    + b"\x1c"
    + b"\x1b\x02\x88\x04host\x05web-1\x04type\x01t\x18\x06body\x00\xff\x00"
    + b"\x00"
)
BINARY = (
    b"\x80\x01\x00\x01\x00\x00\x00\x06append\x00\x00\x00\x05\x0c\x00\x01"
    b"\x0d\x00\x01\x0b\x0b\x00\x00\x00\x02\x00\x00\x00\x04host\x00\x00\x00\x05web-1\x00\x00\x00\x04type\x00\x00\x00\x01t"
    b"\x0b\x00\x02\x00\x00\x00\x06body\x00\xff\x00\x00"
)
MESSAGES = {"compact": COMPACT, "binary": BINARY}


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_the_bytes_are_thrifts(protocol: str) -> None:
    assert CODECS[protocol].parse(MESSAGES[protocol]) == Call("append", 5, [EVENT])
    assert thrift_request(protocol, "append", [EVENT], 5) == MESSAGES[protocol]


def test_the_binary_protocol_without_a_version() -> None:
    assert CODECS["binary"].parse(b"\x00\x00\x00\x06append\x01" + BINARY[14:]) == Call("append", 5, [EVENT])


@pytest.mark.parametrize(
    ("protocol", "fields"),
    [
        ("compact", b"\x21\x12\x13\x07\x14\x02\x15\x80\x01\x16\x02\x17" + b"\x00" * 8 + b"\x18\x01x\x19\x23\x01\x02"),
        (
            "compact",
            b"\x05\xc8\x01\x08\x1a\x28ab\x01c" + b"\x1b\x01\x55\x02\x04" + b"\x1c\x15\x02\x00" + b"\x19\x21\x01\x02",
        ),
        ("binary", b"\x02\x00\x05\x01\x03\x00\x06\x07\x04\x00\x07" + b"\x00" * 8 + b"\x06\x00\x08\x00\x01"),
        ("binary", b"\x08\x00\x05\x00\x00\x00\x01\x0a\x00\x06" + b"\x00" * 8 + b"\x0b\x00\x07\x00\x00\x00\x01x"),
        (
            "binary",
            b"\x0f\x00\x05\x02\x00\x00\x00\x02\x00\x01\x0d\x00\x06\x03\x03\x00\x00\x00\x01\x01\x02\x0c\x00\x07\x00",
        ),
    ],
)
def test_fields_of_later_versions_are_skipped(protocol: str, fields: bytes) -> None:
    if protocol == "compact":
        fields = fields.replace(b"\x1a\x28ab\x01c", b"\x1a\x28\x01a\x01b")
    message = MESSAGES[protocol]
    assert CODECS[protocol].parse(message[:-1] + fields + b"\x00").events == [EVENT]
    assert CODECS[protocol].parse(message[:-2] + fields + b"\x00\x00").events == [EVENT]


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_headers_that_are_not_utf_8_are_replaced_and_bodies_are_not(protocol: str) -> None:
    message = MESSAGES[protocol].replace(b"web-1", b"w\xe4\xff-1").replace(b"type", b"t\xed\xa0\x80")
    (event,) = CODECS[protocol].parse(message).events or ()
    assert event.body == EVENT.body
    assert event.headers["host"] == "w\ufffd\ufffd-1"
    assert event.headers["t\ufffd\ufffd\ufffd"] == "t"


@pytest.mark.parametrize(
    ("protocol", "message", "reason"),
    [
        ("compact", b"", "truncated"),
        ("compact", BINARY, "bad_message"),
        ("compact", b"\x82\x22" + COMPACT[2:], "bad_message"),  # another version
        ("compact", b"\x82\x41" + COMPACT[2:], "bad_message"),  # a reply
        ("compact", COMPACT + b"\x00", "bad_message"),
        ("compact", COMPACT[:10] + b"\x00", "bad_message"),  # no event
        ("compact", COMPACT[:10] + b"\x1c\x00\x00", "bad_message"),  # an event without headers
        ("compact", COMPACT[:10] + b"\x1c\x1b\x00\x00\x00", "bad_message"),  # and without body
        ("compact", COMPACT[:10] + b"\x1c\x1b\x02\x55\x00\x00", "bad_message"),  # headers that are numbers
        ("compact", COMPACT[:10] + b"\x1c\x1b\xff\xff\xff\xff\x0f\x88", "truncated"),  # four billion headers
        ("compact", COMPACT[:10] + b"\x1c\x1b\xff\xff\xff\xff\xff\x0f\x88", "bad_message"),  # a varint without end
        ("compact", COMPACT[:10] + b"\x1c\x1b\x00\x18\xff\xff\xff\xff\x07", "truncated"),  # a body of 2 GiB
        ("compact", COMPACT[:10] + b"\x1d\x00", "bad_message"),  # an unknown type
        ("compact", COMPACT[:10] + b"\x1c" * 50, "bad_message"),  # nested without end
        ("compact", COMPACT[:10] + b"\x29" + b"\x19" * 50, "bad_message"),
        ("binary", COMPACT, "bad_message"),
        ("binary", b"\x80\x02" + BINARY[2:], "bad_message"),
        ("binary", BINARY[:18] + b"\x0c\x00\x01\x0d\x00\x01\x0b\x0b\x7f\xff\xff\xff", "truncated"),
        ("binary", BINARY[:18] + b"\x0c\x00\x01\x0d\x00\x01\x0b\x0b\xff\xff\xff\xff", "truncated"),  # minus one
        ("binary", BINARY[:18] + b"\x0c\x00\x01\x0b\x00\x02\xff\xff\xff\xff", "truncated"),
        ("binary", BINARY[:18] + b"\x0c\x00\x02" * 50, "bad_message"),
        ("binary", BINARY[:18] + b"\x10\x00\x02\x00", "bad_message"),
    ],
)
def test_hostile_messages_are_refused(protocol: str, message: bytes, reason: str) -> None:
    with pytest.raises(ProtocolError) as refused:
        CODECS[protocol].parse(message)
    assert refused.value.reason == reason


def test_a_message_cannot_ask_for_more_objects_than_are_allowed() -> None:
    head = b"\x82\x21\x05\x0bappendBatch\x19\xfc"
    many = MOST_EVENTS + 1
    count = bytes((many & 0x7F | 0x80, many >> 7 & 0x7F | 0x80, many >> 14))
    with pytest.raises(ProtocolError, match="100001 events"):
        CODECS["compact"].parse(head + count + b"\x1b\x00\x18\x00\x00" * many + b"\x00")
    # Headers that differ from event to event, each event with a hundred.
    headers = [b"\x1b\x64\x88" + (b"\x02%02d\x00" % (number % 100)) * 100 for number in range(2)]
    events = [headers[number % 2] + b"\x18\x00\x00" for number in range(MOST_HEADERS // 100 + 2)]
    count = bytes((len(events) & 0x7F | 0x80, len(events) >> 7))
    with pytest.raises(ProtocolError, match="headers in one request"):
        CODECS["compact"].parse(head + count + b"".join(events) + b"\x00")


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_events_with_the_headers_of_the_one_before_share_them(protocol: str) -> None:
    named = [Event({"a": "1"}, b"x"), Event({"a": "1"}, b"y"), Event({"a": "2"}, b"z"), Event({}, b""), Event({}, b"")]
    events = CODECS[protocol].parse(thrift_request(protocol, "appendBatch", named)).events
    assert events == named
    assert events[0].headers is events[1].headers


@pytest.mark.parametrize("protocol", ["compact", "binary"])
def test_answers_are_read_by_others(protocol: str) -> None:
    codec = CODECS[protocol]
    for status in (OK, FAILED):
        assert thrift_answer(protocol, codec.reply("append", 2**31 - 1, status)) == ThriftAnswer(
            "append", 2**31 - 1, status, None
        )
    answer = thrift_answer(protocol, codec.exception("rämove", 300, UNKNOWN_METHOD, "no ✗ such" * 50))
    assert (answer.method, answer.sequence) == ("rämove", 300)
    assert answer.exception is not None
    assert answer.exception.type == TApplicationException.UNKNOWN_METHOD
    assert answer.exception.message == "no ✗ such" * 50
