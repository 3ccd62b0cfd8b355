"""A client's connection under TLS, decrypted as its handler reads.

asyncio's own TLS reads ahead of a paused reader, and drops what that has not taken when the client closes without TLS's
word of farewell, as many do (seen with uvloop: 256 of 600 kB).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from sources.client import READ_AHEAD_BYTES, Connection, CutShort


class TlsConnection(Connection):
    """As `Connection`, once `handshake` has returned. Memory: what a Connection holds, and a TLS record (16 KiB)."""

    def __init__(
        self, peer: str, idle_timeout_s: float | None, write_timeout_s: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(peer, idle_timeout_s, write_timeout_s)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._broken: CutShort | None = None
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self, timeout_s: float) -> None:
        """Agree on keys, and see the client's certificate where one is asked for.

        Raises: ssl.SSLError, ClientTrouble, asyncio.TimeoutError; the client has been told by then, where TLS has a
        word for it.
        """
        await asyncio.wait_for(self._shake_hands(), timeout_s)

    async def read_some(self, max_bytes: int) -> bytes:
        """As Connection's. A stream that ends without the client's farewell does not count as ended by the client."""
        parts: list[bytes] = []
        missing = max_bytes
        while missing and self._broken is None:
            try:
                part = self._tls.read(missing)
            except ssl.SSLWantReadError:
                if parts:
                    break
                await self._send_pending()
                await self._receive()
            except ssl.SSLEOFError:
                break
            except ssl.SSLError as error:  # OpenSSL says so only once
                self._broken = CutShort(f"broken TLS: {error.reason or error}")
                break
            else:
                if not part:  # the client's farewell
                    self.ended_by_client = True
                    break
                parts.append(part)
                missing -= len(part)
        if self._broken is not None and not parts:
            raise self._broken
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """As Connection's."""
        try:
            self._tls.write(data)
        except ssl.SSLError as error:
            raise CutShort(f"broken TLS: {error.reason or error}") from error
        await self._send_pending()

    def close(self) -> None:
        """As Connection's; the client is told first."""
        with contextlib.suppress(ssl.SSLError, ValueError):  # it waits for the client's farewell, which we don't
            self._tls.unwrap()
        self._write_out()
        super().close()

    def eof_received(self) -> bool:
        """asyncio: the client sends no more."""
        said_so = self.ended_by_client
        keep_open = super().eof_received()
        self.ended_by_client = said_so  # by its farewell, which is TLS's
        return keep_open

    async def _shake_hands(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_pending()
                await self._receive()
            except ssl.SSLError:
                self._write_out()
                raise
            else:
                await self._send_pending()
                return

    async def _receive(self) -> None:
        data = await super().read_some(READ_AHEAD_BYTES)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _send_pending(self) -> None:
        if self._outgoing.pending:
            await super().write(self._outgoing.read())

    def _write_out(self) -> None:
        if self._outgoing.pending and not self.closed.done() and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())
