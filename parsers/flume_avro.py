"""Flume's AvroSourceProtocol: handshakes and requests are read, answers are written, all as whole messages."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from parsers.avro_protocol import FLUME_HASH, PROTOCOL, PROTOCOL_HASH, why_different
from parsers.avro_reader import AvroReader
from parsers.flume_rpc import METHODS, Call, ProtocolError, truncated

# enum Status of flume.avdl
OK, FAILED = 0, 1

# enum HandshakeMatch
BOTH, CLIENT, NONE = 0, 1, 2

_HASH_BYTES = 16
# Clients with a protocol of their own: each is one Flume version or one other program.
_MOST_KNOWN = 100


class Handshake(NamedTuple):
    """What a client says first: its protocol by hash, perhaps its text, and which one it takes for the server's."""

    client_hash: bytes
    client_protocol: str | None
    server_hash: bytes


class Greeting(NamedTuple):
    """What a handshake came to. With NONE the request that came with it is not to be read: the client sends it again.

    `refusal` says why the client's requests cannot be read; each is then answered by an error.
    """

    match: int
    answer: bytes
    refusal: str | None


class KnownClients:
    """The protocols of clients seen so far, by their hash. One for a source; bounded."""

    def __init__(self) -> None:
        self._refusals: dict[bytes, str | None] = {FLUME_HASH: None, PROTOCOL_HASH: None}

    def greet(self, handshake: Handshake) -> Greeting:
        """The verdict on a handshake, and its answer."""
        client_hash, protocol, server_hash = handshake
        if client_hash in self._refusals:
            refusal = self._refusals[client_hash]
        elif protocol is not None:
            refusal = why_different(protocol)
            # A hash that is not the text's own is believed for this connection only: it may be anybody's.
            own_hash = hashlib.md5(protocol.encode(), usedforsecurity=False).digest()
            if own_hash == client_hash and len(self._refusals) < _MOST_KNOWN:
                self._refusals[client_hash] = refusal
        else:
            return Greeting(NONE, _handshake_answer(NONE), None)
        match = BOTH if self._refusals.get(server_hash, "unknown") is None else CLIENT
        return Greeting(match, _handshake_answer(match), refusal)


def read_handshake(reader: AvroReader) -> Handshake:
    """A HandshakeRequest. Raises: ProtocolError."""
    try:
        client_hash = reader.fixed(_HASH_BYTES)
        protocol = reader.text() if reader.optional() else None
        server_hash = reader.fixed(_HASH_BYTES)
        if reader.optional():
            reader.skip_metadata()
    except IndexError:
        raise truncated() from None
    return Handshake(client_hash, protocol, server_hash)


def read_method(reader: AvroReader) -> str:
    """The request's metadata, which means nothing to us, and the name of its method; "" is a ping.

    Raises: ProtocolError.
    """
    try:
        reader.skip_metadata()
        return reader.text()
    except IndexError:
        raise truncated() from None


def read_call(reader: AvroReader, serial: int) -> Call:
    """A whole request after the handshake, if there was one. Raises: ProtocolError."""
    method = read_method(reader)
    batch = METHODS.get(method)
    if batch is None:
        return Call(method, serial, None)
    try:
        events = reader.events() if batch else [reader.event()]
    except IndexError:
        raise truncated() from None
    reader.check_end()
    return Call(method, serial, events)


def status(number: int) -> bytes:
    """The answer to a request that was understood: no metadata, no error, the enum's number."""
    return bytes((0, 0, number << 1))


def error(message: str) -> bytes:
    """The answer to a request that cannot be: no metadata, an error, of the union of errors the string."""
    text = message.encode()
    return b"\0\1\0" + _long(len(text)) + text


def _handshake_answer(match: int) -> bytes:
    if match == BOTH:
        return _long(BOTH) + b"\0\0\0"
    text = PROTOCOL.encode()
    return _long(match) + b"\2" + _long(len(text)) + text + b"\2" + PROTOCOL_HASH + b"\0"


def _long(number: int) -> bytes:
    """A number that is not negative, as zigzag."""
    number <<= 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


__all__ = [
    "BOTH",
    "CLIENT",
    "FAILED",
    "NONE",
    "OK",
    "Greeting",
    "Handshake",
    "KnownClients",
    "ProtocolError",
    "error",
    "read_call",
    "read_handshake",
    "read_method",
    "status",
]
