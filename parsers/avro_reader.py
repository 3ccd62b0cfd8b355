"""Reads Avro's binary encoding of what Flume's Avro RPC is made of: the handshake, the call, the events."""

from __future__ import annotations

from parsers.event import Event
from parsers.flume_rpc import MOST_EVENTS, MOST_HEADERS, ProtocolError, too_many


class AvroReader:
    """Reads one whole message from its beginning. Each method moves `at`.

    Every size is held against the bytes that are left before anything is made of it. Methods raise ProtocolError, or
    IndexError at the message's end, which the caller of several translates once.
    """

    def __init__(self, message: bytes) -> None:
        self.message = message
        self.at = 0
        self._headers_left = MOST_HEADERS
        self._same_bytes = b""
        self._same: dict[str, str] = {}

    def long(self) -> int:
        """A zigzag number of up to 64 bits."""
        number = shift = 0
        while True:
            byte = self.message[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise ProtocolError("bad_message", "a number of more than 64 bits")
        return (number >> 1) ^ -(number & 1)

    def fixed(self, n_bytes: int) -> bytes:
        """So many bytes."""
        start = self.at
        end = start + n_bytes
        if n_bytes < 0 or end > len(self.message):
            raise ProtocolError("truncated", f"{n_bytes} bytes announced, {len(self.message) - start} are left")
        self.at = end
        return self.message[start:end]

    def bytes(self) -> bytes:
        """A value of type bytes or string."""
        return self.fixed(self.long())

    def text(self) -> str:
        """A string; what is not UTF-8 becomes U+FFFD."""
        return self.bytes().decode("utf-8", "replace")

    def optional(self) -> bool:
        """The branch of a union of null and something: true where something follows."""
        branch = self.long()
        if branch not in (0, 1):
            raise ProtocolError("bad_message", f"branch {branch} of a union of two")
        return branch == 1

    def check_end(self) -> None:
        """Raises: ProtocolError where bytes follow what was read."""
        left = len(self.message) - self.at
        if left:
            raise ProtocolError("bad_message", f"{left} bytes follow the message")

    def skip_metadata(self) -> None:
        """A map of bytes, of no use to us."""
        while count := self._block(2):
            for _ in range(2 * count):
                self.bytes()

    def event(self) -> Event:
        """An AvroFlumeEvent."""
        return Event(self._headers(), self.bytes())

    def events(self) -> list[Event]:
        """An array of AvroFlumeEvent."""
        events: list[Event] = []
        event = self.event
        while count := self._block(2):
            if len(events) + count > MOST_EVENTS:
                raise too_many("events", len(events) + count, MOST_EVENTS)
            events += [event() for _ in range(count)]
        return events

    def _headers(self) -> dict[str, str]:
        # Most events of a batch have the very headers of the event before, and then they share the dict.
        start = self.at
        if self._same_bytes and self.message.startswith(self._same_bytes, start):
            self.at = start + len(self._same_bytes)
            return self._same
        headers: dict[str, str] = {}
        while count := self._block(2):
            self._headers_left -= count
            if self._headers_left < 0:
                raise too_many("headers", MOST_HEADERS - self._headers_left, MOST_HEADERS)
            texts = self._texts(2 * count)
            headers.update(zip(texts[::2], texts[1::2], strict=True))
        self._same = headers
        self._same_bytes = self.message[start : self.at]
        return headers

    def _block(self, least_bytes: int) -> int:
        """How many elements, of so many bytes at least, the next block of a map or array has; 0 at its end."""
        count = self.long()
        if count < 0:
            count = -count
            self.long()  # the block's bytes, for who wants to skip it
        if count * least_bytes > len(self.message) - self.at:
            left = len(self.message) - self.at
            raise ProtocolError("truncated", f"{count} elements announced, {left} bytes are left")
        return count

    def _texts(self, count: int) -> list[str]:
        # The busiest loop: no calls for strings of up to 63 bytes but the decoding itself.
        message = self.message
        at = self.at
        last = len(message)
        texts: list[str] = []
        for _ in range(count):
            n_bytes = message[at]
            at += 1
            if n_bytes < 0x80 and not n_bytes & 1:
                n_bytes >>= 1
            else:
                self.at = at - 1
                n_bytes = self.long()
                at = self.at
            end = at + n_bytes
            if n_bytes < 0 or end > last:
                raise ProtocolError("truncated", f"a string of {n_bytes} bytes, {last - at} are left")
            texts.append(message[at:end].decode("utf-8", "replace"))
            at = end
        self.at = at
        return texts
