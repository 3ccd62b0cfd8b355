"""The bytes of an Avro connection: as they are, or deflated as a whole in both directions."""

from __future__ import annotations

import zlib
from typing import Protocol

from parsers.flume_rpc import ProtocolError
from sources.listener import Connection, CutShort

_READ_BYTES = 65_536


class Stream(Protocol):
    """A connection's bytes; `sources.listener.Connection` is one."""

    async def read_exactly(self, n_bytes: int) -> bytes:
        """The next `n_bytes` bytes; b"" when the stream ended before the first of them. Raises: ClientTrouble."""

    async def write(self, data: bytes) -> None:
        """Send. Raises: ClientTrouble."""


class DeflatedStream:
    """A zlib stream each way, flushed after each write, as Netty's zlib codec has it.

    Holds at most what was asked for and 64 KiB more, whatever the ratio of the compression.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._inflate = zlib.decompressobj()
        self._deflate = zlib.compressobj()
        self._inflated = bytearray()
        self._waiting = b""  # came, and is not inflated yet
        self._pending = False  # zlib may have more to give without more input

    async def read_exactly(self, n_bytes: int) -> bytes:
        """As Stream says. Raises: ProtocolError where it is not deflated."""
        inflated = self._inflated
        while len(inflated) < n_bytes:
            if not (
                self._waiting or self._pending or self._inflate.eof
            ):  # Netty ends the compressed stream before it closes
                self._waiting = await self._connection.read_some(_READ_BYTES)
            if not (self._waiting or self._pending):
                if inflated:
                    raise CutShort(f"{len(inflated)} of {n_bytes} bytes came")
                return b""
            try:
                some = self._inflate.decompress(self._waiting, _READ_BYTES)
            except zlib.error as error:
                raise ProtocolError("not_deflated", str(error)) from None
            inflated += some
            self._waiting = self._inflate.unconsumed_tail
            self._pending = len(some) == _READ_BYTES
            if self._inflate.unused_data:
                raise ProtocolError("not_deflated", "bytes follow the end of the compressed stream")
        taken = bytes(inflated[:n_bytes])
        del inflated[:n_bytes]
        return taken

    async def write(self, data: bytes) -> None:
        """As Stream says."""
        await self._connection.write(self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH))
