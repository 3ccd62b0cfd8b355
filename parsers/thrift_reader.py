"""What Thrift's compact and binary protocol have in common: how a message of ThriftSourceProtocol is taken apart."""

from __future__ import annotations

from abc import ABC, abstractmethod

from parsers.event import Event
from parsers.flume_rpc import METHODS, MOST_EVENTS, MOST_HEADERS, Call, ProtocolError, too_many, truncated

# Type numbers as the binary protocol and Thrift's own library have them; the compact protocol's are translated.
STOP, BOOL, BYTE, DOUBLE, I16, I32, I64, STRING, STRUCT, MAP, SET, LIST = 0, 2, 3, 4, 6, 8, 10, 11, 12, 13, 14, 15

CALL, REPLY, EXCEPTION, ONEWAY = 1, 2, 3, 4

# Fields that we do not know are skipped, as Thrift wants it; nobody nests deeper than this in earnest.
_MOST_NESTED = 16


class ThriftReader(ABC):
    """Reads one whole message. Every size is held against the bytes that are left before anything is made of it.

    A subclass brings the wire's primitives, each of which moves `at`. They may raise IndexError at the message's end.
    """

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.at = 0
        self._headers_left = MOST_HEADERS
        self._same_bytes = b""
        self._same: dict[str, str] = {}

    def call(self) -> Call:
        """The message as a request. Raises: ProtocolError and nothing else."""
        try:
            name, kind, sequence = self.message_begin()
            if kind not in (CALL, ONEWAY):
                raise ProtocolError("bad_message", f"a message of type {kind} is no request")
            batch = METHODS.get(name)
            events = None if batch is None else self._arguments(batch)
        except IndexError:
            raise truncated() from None
        if events is not None and self.at != len(self.message):
            raise ProtocolError("bad_message", f"{len(self.message) - self.at} bytes follow the message")
        return Call(name, sequence, events, kind == ONEWAY)

    @abstractmethod
    def message_begin(self) -> tuple[str, int, int]:
        """Method, message type and sequence number."""

    @abstractmethod
    def field(self, last: int) -> tuple[int, int]:
        """Type and number of the next field of a struct, `last` being the number before; type STOP at its end."""

    @abstractmethod
    def list_begin(self) -> tuple[int, int]:
        """Type and number of the elements of a list or set."""

    @abstractmethod
    def map_begin(self) -> tuple[int, int, int]:
        """Types of keys and values, and how many pairs; of an empty map the types may be STOP."""

    @abstractmethod
    def binary(self) -> bytes:
        """A string's bytes."""

    @abstractmethod
    def texts(self, count: int) -> list[str]:
        """So many strings; what is not UTF-8 becomes U+FFFD."""

    @abstractmethod
    def skip_scalar(self, kind: int, element: bool) -> None:
        """Pass over a value that is neither struct nor container; `element` is true inside a container."""

    def take(self, n_bytes: int) -> int:
        """The position after so many bytes more. Raises: ProtocolError where they are not there."""
        end = self.at + n_bytes
        if n_bytes < 0 or end > len(self.message):
            raise ProtocolError("truncated", f"{n_bytes} bytes announced, {len(self.message) - self.at} are left")
        return end

    def check_count(self, count: int, least_bytes: int) -> None:
        """Raises: ProtocolError where so many elements, of so many bytes at least, cannot follow."""
        if count < 0 or count * least_bytes > len(self.message) - self.at:
            left = len(self.message) - self.at
            raise ProtocolError("truncated", f"{count} elements announced, {left} bytes are left")

    def _arguments(self, batch: bool) -> list[Event]:
        events: list[Event] | None = None
        last = 0
        while True:
            kind, last = self.field(last)
            if kind == STOP:
                break
            if last == 1 and events is None and kind == (LIST if batch else STRUCT):
                events = self._events() if batch else [self._event()]
            else:
                self._skip(kind, 0, False)
        if events is None:
            raise ProtocolError("bad_message", "the request has no events")
        return events

    def _events(self) -> list[Event]:
        kind, count = self.list_begin()
        self.check_count(count, 1)
        if count > MOST_EVENTS:
            raise too_many("events", count, MOST_EVENTS)
        if count and kind != STRUCT:
            raise ProtocolError("bad_message", f"events of type {kind}, not struct")
        event = self._event
        return [event() for _ in range(count)]

    def _event(self) -> Event:
        headers: dict[str, str] | None = None
        body: bytes | None = None
        last = 0
        while True:
            kind, last = self.field(last)
            if kind == STOP:
                break
            if last == 1 and kind == MAP:
                headers = self._headers()
            elif last == 2 and kind == STRING:
                body = self.binary()
            else:
                self._skip(kind, 0, False)
        if headers is None or body is None:
            raise ProtocolError("bad_message", f"an event without {'headers' if headers is None else 'body'}")
        return Event(headers, body)

    def _headers(self) -> dict[str, str]:
        # Most events of a batch have the very headers of the event before, and then they share the dict.
        start = self.at
        if self._same_bytes and self.message.startswith(self._same_bytes, start):
            self.at = start + len(self._same_bytes)
            return self._same
        key, value, count = self.map_begin()
        if not count:
            return {}
        if key != STRING or value != STRING:
            raise ProtocolError("bad_message", f"headers of types {key} and {value}, not string")
        self.check_count(count, 2)
        self._headers_left -= count
        if self._headers_left < 0:
            raise too_many("headers", MOST_HEADERS - self._headers_left, MOST_HEADERS)
        texts = self.texts(2 * count)
        self._same = dict(zip(texts[::2], texts[1::2], strict=True))
        self._same_bytes = self.message[start : self.at]
        return self._same

    def _skip(self, kind: int, depth: int, element: bool) -> None:
        """Pass over a value of any type."""
        if depth > _MOST_NESTED:
            raise ProtocolError("bad_message", f"nested more than {_MOST_NESTED} deep")
        if kind == STRUCT:
            last = 0
            while True:
                kind, last = self.field(last)
                if kind == STOP:
                    return
                self._skip(kind, depth + 1, False)
        elif kind in (LIST, SET):
            inner, count = self.list_begin()
            self.check_count(count, 1)
            for _ in range(count):
                self._skip(inner, depth + 1, True)
        elif kind == MAP:
            key, value, count = self.map_begin()
            self.check_count(count, 2)
            for _ in range(count):
                self._skip(key, depth + 1, True)
                self._skip(value, depth + 1, True)
        elif kind == STRING:
            self.binary()
        else:
            self.skip_scalar(kind, element)
