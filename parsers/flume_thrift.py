"""Flume's ThriftSourceProtocol: a message becomes a call with events, and a verdict becomes an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from parsers import thrift_binary, thrift_compact
from parsers.flume_rpc import Call

ThriftProtocol = Literal["compact", "binary"]

# enum Status of flume.thrift
OK, FAILED, ERROR = 0, 1, 2

# Thrift's numbers for what a server does not do.
UNKNOWN_METHOD, PROTOCOL_ERROR = 1, 7


class Codec(NamedTuple):
    """One wire format. All are pure functions on whole messages, without the frame's length.

    `parse` raises ProtocolError and nothing else, whatever the bytes; it makes nothing that is larger than the message
    allows: memory is some 30 times the message at worst, bounded by MOST_EVENTS and MOST_HEADERS.
    """

    parse: Callable[[bytes], Call]
    reply: Callable[[str, int, int], bytes]  # method, sequence number, status
    exception: Callable[[str, int, int, str], bytes]  # method, sequence number, kind, message


def _parse_compact(message: bytes) -> Call:
    return thrift_compact.CompactReader(message).call()


def _parse_binary(message: bytes) -> Call:
    return thrift_binary.BinaryReader(message).call()


CODECS: dict[ThriftProtocol, Codec] = {
    "compact": Codec(_parse_compact, thrift_compact.reply, thrift_compact.exception),
    "binary": Codec(_parse_binary, thrift_binary.reply, thrift_binary.exception),
}
