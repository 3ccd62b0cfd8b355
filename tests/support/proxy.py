"""A TCP proxy that can cut and stall what goes through it: a network that fails while both ends are well."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from deploy.cluster.process import LOCALHOST, free_port

T = TypeVar("T")

_CHUNK_BYTES = 64 * 1024
_DEADLINE_S = 60.0
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of no time: closing sends RST, and what waits is dropped


class Proxy:
    """Forwards connections from `port` to a port behind it, in a thread of its own; usable from any thread.

    Cut: every connection is reset in both directions; new ones are taken, unless it is shut. Stalled: connections stay
    open and new ones are taken, and not a byte goes through either way until it flows again; what was sent meanwhile
    arrives then. Shut: new connections are reset. A client whose other end is away is reset too.
    """

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self.connections = 0  # taken so far
        self._target: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._shut = False
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)

    def start(self, target: int) -> Proxy:
        """Listen, and forward to `target` on this machine."""
        self._target = target
        self._flows.set()
        self._thread.start()
        self._call(self._listen())
        return self

    def close(self) -> None:
        """Cut everything and listen no more. Does nothing where it was never started."""
        if self._thread.is_alive():
            self._call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_DEADLINE_S)
        self._loop.close()

    def cut(self) -> int:
        """Reset every connection; how many there were."""
        return self._call(self._cut())

    def stall(self) -> None:
        """Let nothing through until `flow`."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def flow(self) -> None:
        """Let through what waits and what comes."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def shut(self) -> None:
        """Cut, and reset every new connection until `reopen`."""
        self._shut = True
        self.cut()

    def reopen(self) -> None:
        """Take new connections again."""
        self._shut = False

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_DEADLINE_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOCALHOST, self.port, limit=_CHUNK_BYTES)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        ends = [writer]
        try:
            if self._shut:
                _reset(writer)
                return
            await self._flows.wait()
            assert self._target is not None
            back_reader, back_writer = await asyncio.open_connection(LOCALHOST, self._target, limit=_CHUNK_BYTES)
            self._open.add(back_writer)
            ends.append(back_writer)
            await asyncio.gather(self._pump(reader, back_writer), self._pump(back_reader, writer))
        except OSError:
            for end in ends:
                _reset(end)
        finally:
            self._open.difference_update(ends)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        await self._flows.wait()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _cut(self) -> int:
        ends = list(self._open)
        for end in ends:
            _reset(end)
        return len(ends)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await self._cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    end: socket.socket | None = writer.get_extra_info("socket")
    if end is not None and not writer.is_closing():
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
