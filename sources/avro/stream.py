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

    async def read_exactly(self, n_bytes: int) -> bytes:
        """As Stream says. Raises: ProtocolError where it is not deflated."""
        inflated = self._inflated
        while len(inflated) < n_bytes:
            if not self._waiting:
                self._waiting = await self._connection.read_some(_READ_BYTES)
                if not self._waiting:
                    if inflated:
                        raise CutShort(f"{len(inflated)} of {n_bytes} bytes came")
                    return b""
            try:
                inflated += self._inflate.decompress(self._waiting, _READ_BYTES)
            except zlib.error as error:
                raise ProtocolError("not_deflated", str(error)) from None
            self._waiting = self._inflate.unconsumed_tail
            if self._inflate.eof:
                raise ProtocolError("not_deflated", "the compressed stream ends before the connection does")
        taken = bytes(inflated[:n_bytes])
        del inflated[:n_bytes]
        return taken

    async def write(self, data: bytes) -> None:
        """As Stream says."""
        await self._connection.write(self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH))
