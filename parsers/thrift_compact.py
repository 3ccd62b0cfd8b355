"""Thrift's compact protocol: varints, zigzag numbers, field numbers as differences."""

from __future__ import annotations

from parsers.flume_rpc import ProtocolError
from parsers.thrift_reader import (
    BOOL,
    BYTE,
    DOUBLE,
    EXCEPTION,
    I16,
    I32,
    I64,
    LIST,
    MAP,
    REPLY,
    SET,
    STOP,
    STRING,
    STRUCT,
    ThriftReader,
)

_PROTOCOL_ID = 0x82
_VERSION = 1
_VERSION_MASK = 0x1F
_TYPE_SHIFT = 5
_TRUE, _FALSE, _I32, _BINARY = 1, 2, 5, 8
_LONG_LIST = 15
_TYPES = (STOP, BOOL, BOOL, BYTE, I16, I32, I64, DOUBLE, STRING, LIST, SET, MAP, STRUCT)


class CompactReader(ThriftReader):
    """Reads one message in the compact protocol."""

    def message_begin(self) -> tuple[str, int, int]:
        message = self.message
        if message[0] != _PROTOCOL_ID:
            raise ProtocolError("bad_message", f"byte 0x{message[0]:02x} does not begin a compact message")
        if message[1] & _VERSION_MASK != _VERSION:
            raise ProtocolError("bad_message", f"version {message[1] & _VERSION_MASK} of the compact protocol")
        self.at = 2
        sequence = self._varint(32)
        return self.texts(1)[0], message[1] >> _TYPE_SHIFT, sequence

    def field(self, last: int) -> tuple[int, int]:
        head = self.message[self.at]
        self.at += 1
        if not head & 0x0F:
            return STOP, last
        kind = _type(head & 0x0F)
        if head >> 4:
            number = last + (head >> 4)
        else:
            raw = self._varint(16)
            number = (raw >> 1) ^ -(raw & 1)
        # A boolean field has its value in the type, and nothing follows: `skip_scalar` knows.
        return kind, number

    def list_begin(self) -> tuple[int, int]:
        head = self.message[self.at]
        self.at += 1
        count = head >> 4
        if count == _LONG_LIST:
            count = self._varint(32)
        return _type(head & 0x0F), count

    def map_begin(self) -> tuple[int, int, int]:
        count = self._varint(32)
        if not count:
            return STOP, STOP, 0
        kinds = self.message[self.at]
        self.at += 1
        return _type(kinds >> 4), _type(kinds & 0x0F), count

    def binary(self) -> bytes:
        start = self.at
        n_bytes = self.message[start]
        self.at = start + 1
        if n_bytes > 0x7F:
            self.at = start
            n_bytes = self._varint(32)
        start = self.at
        self.at = end = self.take(n_bytes)
        return self.message[start:end]

    def texts(self, count: int) -> list[str]:
        # The busiest loop of this protocol: no calls for strings of up to 127 bytes but the decoding itself.
        message = self.message
        at = self.at
        last = len(message)
        texts: list[str] = []
        for _ in range(count):
            n_bytes = message[at]
            at += 1
            if n_bytes > 0x7F:
                self.at = at - 1
                n_bytes = self._varint(32)
                at = self.at
            end = at + n_bytes
            if end > last:
                raise ProtocolError("truncated", f"a string of {n_bytes} bytes, {last - at} are left")
            texts.append(message[at:end].decode("utf-8", "replace"))
            at = end
        self.at = at
        return texts

    def skip_scalar(self, kind: int, element: bool) -> None:
        if kind == BOOL:
            self.at = self.take(1) if element else self.at
        elif kind == BYTE:
            self.at = self.take(1)
        elif kind == DOUBLE:
            self.at = self.take(8)
        elif kind in (I16, I32, I64):
            self._varint(64)
        else:
            raise ProtocolError("bad_message", f"a value of the unknown type {kind}")

    def _varint(self, bits: int) -> int:
        number = shift = 0
        while True:
            byte = self.message[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise ProtocolError("bad_message", f"a number of more than {bits} bits")
        return number


def reply(method: str, sequence: int, status: int) -> bytes:
    """The answer to a request: field 0 of the result is the enum's number."""
    return _head(method, REPLY, sequence) + bytes((_I32, 0)) + _varint_bytes(status << 1) + b"\0"


def exception(method: str, sequence: int, kind: int, message: str) -> bytes:
    """A TApplicationException: a string of field 1, a number of field 2."""
    text = message.encode()
    body = bytes((0x10 | _BINARY,)) + _varint_bytes(len(text)) + text + bytes((0x10 | _I32,)) + _varint_bytes(kind << 1)
    return _head(method, EXCEPTION, sequence) + body + b"\0"


def _head(method: str, kind: int, sequence: int) -> bytes:
    name = method.encode()
    start = bytes((_PROTOCOL_ID, kind << _TYPE_SHIFT | _VERSION))
    return start + _varint_bytes(sequence) + _varint_bytes(len(name)) + name


def _varint_bytes(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _type(compact: int) -> int:
    if compact >= len(_TYPES):
        raise ProtocolError("bad_message", f"a value of the unknown type {compact}")
    return _TYPES[compact]
