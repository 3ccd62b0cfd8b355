"""Where syslog messages begin and end in a TCP stream: newlines or octet counting, told apart at each message."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

Part = Literal["whole", "begin", "rest"]

# RFC 6587: a length, a blank, and a message, which begins with `<`. A line that only looks so is no message at all.
_COUNT: Final = re.compile(rb"([1-9][0-9]{0,7}) <")
_MAYBE_COUNT: Final = re.compile(rb"[1-9][0-9]{0,7} ?")
_LONGEST_COUNT: Final = 10


class Frame(NamedTuple):
    """A whole message, or the beginning of one that is too long or was cut off, or a further piece of such a one."""

    data: bytes
    part: Part


class Framer:
    """Takes one connection's stream apart.

    A message longer than `max_bytes` comes as its beginning and further pieces of at most `max_bytes`: every byte comes
    out, and the next message is found. Holds less than `max_bytes` of the stream and what was fed. A newline, and a
    carriage return before it, end a line and belong to no message; empty lines are none. An octet-counted message is as
    long as it says, less such an end.

    `feed` what was read, then `take` until nothing comes; at the end of the stream, `finish`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._buffer = bytearray()
        self._searched = 0  # so much of the buffer has no newline
        self._counted = 0  # so many bytes of an octet-counted message are still to come
        self._in_rest = False  # the message has begun to come out in pieces

    def feed(self, data: bytes) -> None:
        """The stream goes on with `data`."""
        self._buffer += data

    def take(self, limit: int) -> list[Frame]:
        """The next frames that are complete, at most `limit`: a frame may take a hundred times the bytes it has."""
        frames: list[Frame] = []
        at = 0
        while len(frames) < limit:
            end = self._counted_frame(frames, at) if self._counted else self._next(frames, at)
            if end < 0:
                break
            at = end
        self._searched = max(self._searched - at, 0)
        del self._buffer[:at]
        return frames

    def finish(self, clean: bool) -> list[Frame]:
        """What is left at the end of the stream, when `take` has nothing more.

        A line without a newline is whole if the client has ended the stream by itself (`clean`); a counted message that
        is too short never is.
        """
        data = bytes(self._buffer)
        whole = clean and not self._counted
        if whole:
            data = data[:-1] if data.endswith(b"\r") else trimmed(data)
        part: Part = "rest" if self._in_rest else "whole" if whole and len(data) <= self._max_bytes else "begin"
        frames = [Frame(data[: self._max_bytes], part), Frame(data[self._max_bytes :], "rest")]
        self._buffer.clear()
        self._counted = self._searched = 0
        self._in_rest = False
        return [frame for frame in frames if frame.data]

    def _next(self, frames: list[Frame], at: int) -> int:
        """Take the message that begins at `at`, or goes on there; returns where the next one is, -1 for not yet."""
        buffer = self._buffer
        if at >= len(buffer):
            return -1
        if not self._in_rest and 0x31 <= buffer[at] <= 0x39:
            count = _COUNT.match(buffer, at)
            if count is not None:
                self._counted = int(count[1])
                return count.end() - 1
            maybe = _MAYBE_COUNT.match(buffer, at)
            if maybe is not None and maybe.end() == len(buffer) and maybe.end() - at < _LONGEST_COUNT:
                return -1
        newline = buffer.find(b"\n", max(at, self._searched))
        end = newline if newline >= 0 else len(buffer)
        most = at + self._max_bytes
        # A carriage return that just does not fit may turn out to belong to the line's end: it is waited for.
        if end > most and not (end == most + 1 and (newline < 0 or buffer[most] == 0x0D)):
            frames.append(Frame(bytes(buffer[at:most]), "rest" if self._in_rest else "begin"))
            self._in_rest = True
            return most
        if newline < 0:
            self._searched = len(buffer)
            return -1
        line = bytes(buffer[at : newline - 1 if newline > at and buffer[newline - 1] == 0x0D else newline])
        if line:
            frames.append(Frame(line, "rest" if self._in_rest else "whole"))
        self._in_rest = False
        return newline + 1

    def _counted_frame(self, frames: list[Frame], at: int) -> int:
        end = at + min(self._counted, self._max_bytes)
        if end > len(self._buffer):
            return -1
        data = bytes(self._buffer[at:end])
        self._counted -= len(data)
        if self._counted:
            frames.append(Frame(data, "rest" if self._in_rest else "begin"))
            self._in_rest = True
            return end
        data = trimmed(data)
        if data:
            frames.append(Frame(data, "rest" if self._in_rest else "whole"))
        self._in_rest = False
        return end


def trimmed(message: bytes) -> bytes:
    """A message without one newline (and the carriage return before it) or one NUL at its end: senders add them."""
    if message.endswith(b"\n"):
        return message[:-2] if message.endswith(b"\r\n") else message[:-1]
    return message[:-1] if message.endswith(b"\0") else message
