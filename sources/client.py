"""One client's TCP connection: reads that hold back the client, writes that don't wait for ever for it.

ClientTrouble            what ends a connection; `reason` is what it is counted under
├── IdleTimeout          idle: it sent nothing for the time allowed
├── CutShort             cut_short: it went away, or was cut off by a stop, in the middle of something
└── PeerStalled          stalled: it does not read its answers
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any, ClassVar, Final

# Reading stops when this much waits for the handler, so a connection holds at most this and one read more.
READ_AHEAD_BYTES: Final = 65_536
_WRITE_AHEAD_BYTES: Final = 65_536
# Where a read of any connection lands before it is copied to where it belongs: a loop does one read at a time, and
# thousands of idle connections need no memory of their own.
_LANDING = memoryview(bytearray(65_536))


class ClientTrouble(Exception):
    """The client, or its connection, is of no more use. A handler lets it pass: the listener closes and counts."""

    reason: ClassVar[str]


class IdleTimeout(ClientTrouble):
    """The client sent nothing for as long as the listener allows."""

    reason = "idle"


class CutShort(ClientTrouble):
    """The connection ended in the middle of what was being read or written."""

    reason = "cut_short"


class PeerStalled(ClientTrouble):
    """The client does not read what is sent to it. The connection is dead after this."""

    reason = "stalled"


class Connection(asyncio.BufferedProtocol):
    """A client's connection, for one handler task.

    Bounded memory: at most READ_AHEAD_BYTES and one read are held of what the client sends before the handler has
    taken it; then the kernel's buffers fill and the client waits. When the listener stops, reads give what has been
    read and then the end.
    """

    def __init__(self, peer: str, idle_timeout_s: float | None, write_timeout_s: float) -> None:
        self.peer = peer  # the client's IP address, without its port
        self.received_bytes = 0
        self.ended_by_client = False  # it said so; otherwise the connection broke, or we stopped reading
        self._idle_timeout_s = idle_timeout_s
        self._write_timeout_s = write_timeout_s
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._buffer = bytearray()
        self._ended = False  # nothing more will come
        self._paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._write_paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()  # done once the socket is gone

    async def read_some(self, max_bytes: int) -> bytes:
        """What has come, 1 to `max_bytes` bytes, waiting for the first one; b"" at the end.

        Raises: IdleTimeout.
        """
        while not self._buffer and not self._ended:
            await self._more()
        return self._take(min(max_bytes, len(self._buffer)))

    async def read_exactly(self, n_bytes: int) -> bytes:
        """The next `n_bytes` bytes; b"" when the connection ended before the first of them.

        Holds `n_bytes` in memory: check a length that the client gave. Raises: IdleTimeout, CutShort.
        """
        parts: list[bytes] = []
        missing = n_bytes
        while missing:
            part = await self.read_some(missing)
            if not part:
                if parts:
                    raise CutShort(f"{n_bytes - missing} of {n_bytes} bytes came")
                return b""
            parts.append(part)
            missing -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send; returns when all but the last 64 KiB or so have left for the kernel.

        Raises: CutShort where the client is gone, PeerStalled where it does not read within the listener's time.
        """
        if self.closed.done() or self._transport.is_closing():
            raise CutShort("the client is gone")
        self._transport.write(data)
        if not self._write_paused:
            return
        self._writable = self._loop.create_future()
        try:
            done, _ = await asyncio.wait({self._writable, self.closed}, timeout=self._write_timeout_s)
        finally:
            self._writable = None
        if self.closed.done():
            raise CutShort("the client went away before it had its answer")
        if not done:
            self.abort()
            raise PeerStalled(f"no answer was read for {self._write_timeout_s:g} s")

    def close(self) -> None:
        """Begin closing: what was written is still sent, what comes is dropped. Idempotent, does not wait."""
        self.end()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.end()
        if self._transport is not None:
            self._transport.abort()

    def end(self) -> None:
        """Read nothing more from the client; the handler gets what is there, and then the end."""
        self._ended = True
        self._pause()
        self._wake()

    # What the handler does.

    async def _more(self) -> None:
        """Wait until there is something to read, or the end."""
        self._readable = self._loop.create_future()
        timer = None
        if self._idle_timeout_s is not None:
            timer = self._loop.call_later(self._idle_timeout_s, self._time_out, self._readable)
        try:
            await self._readable
        finally:
            self._readable = None
            if timer is not None:
                timer.cancel()

    def _time_out(self, waiting: asyncio.Future[None]) -> None:
        if not waiting.done():
            waiting.set_exception(IdleTimeout(f"nothing came for {self._idle_timeout_s:g} s"))

    def _take(self, n_bytes: int) -> bytes:
        taken = bytes(self._buffer[:n_bytes])
        del self._buffer[:n_bytes]
        if self._paused and not self._ended and len(self._buffer) < READ_AHEAD_BYTES:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return taken

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def _wake(self) -> None:
        if self._readable is not None and not self._readable.done():
            self._readable.set_result(None)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        self._transport = transport
        self._transport.set_write_buffer_limits(high=_WRITE_AHEAD_BYTES)
        if self._ended:
            self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """asyncio: where the next read goes."""
        return _LANDING

    def buffer_updated(self, nbytes: int) -> None:
        """asyncio: bytes have come."""
        if self._ended:
            return
        self.received_bytes += nbytes
        self._buffer += _LANDING[:nbytes]
        if len(self._buffer) >= READ_AHEAD_BYTES:
            self._pause()
        self._wake()

    def eof_received(self) -> bool:
        """asyncio: the client sends no more. It may still read."""
        self.ended_by_client = not self._ended
        self._ended = True
        self._wake()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the connection is gone."""
        self._ended = True
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake()

    def pause_writing(self) -> None:
        """asyncio: the client reads slower than it is written to."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """asyncio: it has caught up."""
        self._write_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)


def peer_of(address: object, unknown: str = "unknown") -> str:
    """The IP address of a socket's peer; one that came as IPv4 over an IPv6 socket is written as IPv4."""
    if not isinstance(address, tuple) or not address:
        return unknown
    text = str(address[0])
    if text.startswith("::ffff:"):
        mapped = ipaddress.IPv6Address(text).ipv4_mapped
        return str(mapped) if mapped is not None else text
    return text.partition("%")[0]
