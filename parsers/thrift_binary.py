"""Thrift's binary protocol: numbers big-endian and of fixed width."""

from __future__ import annotations

from struct import Struct

from parsers.flume_rpc import ProtocolError, truncated
from parsers.thrift_reader import (
    BOOL,
    BYTE,
    DOUBLE,
    EXCEPTION,
    I16,
    I32,
    I64,
    REPLY,
    STOP,
    STRING,
    ThriftReader,
)

_VERSION_1 = 0x80010000
_VERSION_MASK = 0xFFFF0000
_WIDTHS = {BOOL: 1, BYTE: 1, DOUBLE: 8, I16: 2, I32: 4, I64: 8}
_I32 = Struct(">i")
_I32_AT = _I32.unpack_from
_LIST_HEAD = Struct(">Bi")
_MAP_HEAD = Struct(">BBi")
_FIELD_HEAD = Struct(">Bh")


class BinaryReader(ThriftReader):
    """Reads one message in the binary protocol, strict (with a version) or as old clients write it."""

    def message_begin(self) -> tuple[str, int, int]:
        (head,) = Struct(">I").unpack_from(self.message[:4].ljust(4, b"\0"))
        if len(self.message) < 4:
            raise truncated()
        if head & 0x80000000:
            if head & _VERSION_MASK != _VERSION_1:
                raise ProtocolError("bad_message", f"version 0x{head >> 16:04x} of the binary protocol")
            self.at = 4
            name = self.texts(1)[0]
            kind = head & 0xFF
        else:
            name = self.texts(1)[0]
            kind = self.message[self.at]
            self.at += 1
        end = self.take(4)
        (sequence,) = _I32_AT(self.message, self.at)
        self.at = end
        return name, kind, sequence

    def field(self, last: int) -> tuple[int, int]:
        at = self.at
        kind = self.message[at]
        if kind == STOP:
            self.at = at + 1
            return STOP, last
        self.at = self.take(3)
        _, number = _FIELD_HEAD.unpack_from(self.message, at)
        return kind, number

    def list_begin(self) -> tuple[int, int]:
        at = self.at
        self.at = self.take(5)
        kind, count = _LIST_HEAD.unpack_from(self.message, at)
        return kind, count

    def map_begin(self) -> tuple[int, int, int]:
        at = self.at
        self.at = self.take(6)
        key, value, count = _MAP_HEAD.unpack_from(self.message, at)
        return key, value, count

    def binary(self) -> bytes:
        at = self.at
        start = self.at = self.take(4)
        (n_bytes,) = _I32_AT(self.message, at)
        self.at = end = self.take(n_bytes)
        return self.message[start:end]

    def texts(self, count: int) -> list[str]:
        # The busiest loop of this protocol.
        message = self.message
        at = self.at
        last = len(message)
        texts: list[str] = []
        for _ in range(count):
            start = at + 4
            if start > last:
                raise truncated()
            (n_bytes,) = _I32_AT(message, at)
            at = start + n_bytes
            if n_bytes < 0 or at > last:
                raise ProtocolError("truncated", f"a string of {n_bytes} bytes, {last - start} are left")
            texts.append(message[start:at].decode("utf-8", "replace"))
        self.at = at
        return texts

    def skip_scalar(self, kind: int, element: bool) -> None:
        width = _WIDTHS.get(kind)
        if width is None:
            raise ProtocolError("bad_message", f"a value of the unknown type {kind}")
        self.at = self.take(width)


def reply(method: str, sequence: int, status: int) -> bytes:
    """The answer to a request: field 0 of the result is the enum's number."""
    return _head(method, REPLY, sequence) + _FIELD_HEAD.pack(I32, 0) + _I32.pack(status) + b"\0"


def exception(method: str, sequence: int, kind: int, message: str) -> bytes:
    """A TApplicationException: a string of field 1, a number of field 2."""
    text = message.encode()
    body = _FIELD_HEAD.pack(STRING, 1) + _I32.pack(len(text)) + text + _FIELD_HEAD.pack(I32, 2) + _I32.pack(kind)
    return _head(method, EXCEPTION, sequence) + body + b"\0"


def _head(method: str, kind: int, sequence: int) -> bytes:
    name = method.encode()
    return Struct(">I").pack(_VERSION_1 | kind) + _I32.pack(len(name)) + name + _I32.pack(sequence)
