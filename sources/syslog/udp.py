"""Datagrams from a UDP port, in a queue bounded by bytes; what does not fit, there or in the kernel, is counted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from config.listen import ListenAddress
from sources.client import peer_of
from sources.listener import bind
from sources.once import Troubles
from telemetry.flow import Flow

log = logging.getLogger(__name__)

_MAX_DATAGRAM_BYTES: Final = 65_536
_READS_A_TURN: Final = 256  # some half a millisecond; then it is others' turn on the event loop
_LAST_TURNS: Final = 64  # at a stop: as much as the kernel holds, and no more, however fast they come
_BATCH: Final = 1_000
_BATCH_BYTES: Final = 1 << 20
OVERHEAD_BYTES: Final = 200  # what a datagram takes in the queue besides its bytes
# The kernel doubles it, and grants no more than net.core.rmem_max unless we may force it.
_RECEIVE_BUFFER_BYTES: Final = 8 << 20
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")  # the last is what /proc/net/udp shows as drops


class Datagram(NamedTuple):
    """What came, and from which address."""

    data: bytes
    peer: str


class UdpListener:
    """Receives at one address and hands batches, in order, one at a time, to `handle`.

    While `handle` waits (for Kafka, say) datagrams wait in the queue; full, it takes no more, and they are counted as
    rejected (`udp_queue_full`). Those that the kernel dropped before we could read them are counted as received and
    rejected (`udp_kernel_drops`) by `count_kernel_drops`.
    """

    def __init__(
        self,
        address: ListenAddress,
        handle: Callable[[Sequence[Datagram]], Awaitable[None]],
        *,
        flow: Flow,
        troubles: Troubles,
        queue_bytes: int,
    ) -> None:
        self.address = address
        self.queued_bytes = 0
        self.receive_buffer_bytes = 0
        self._handle = handle
        self._flow = flow
        self._troubles = troubles
        self._limit_bytes = queue_bytes
        self._queue: deque[Datagram] = deque()
        self._arrived = asyncio.Event()
        self._sockets: dict[socket.socket, int] = {}  # with the drops counted so far
        self._sender: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def port(self) -> int:
        """The port in use; needed where the address says 0."""
        return int(next(iter(self._sockets)).getsockname()[1])

    async def start(self) -> None:
        """Receive, and return. Raises: CannotListen."""
        self._sockets = dict.fromkeys(await bind(self.address, socket.SOCK_DGRAM), 0)
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            self.receive_buffer_bytes = _widen(opened)
            loop.add_reader(opened, self._read, opened)
        self._sender = asyncio.create_task(self._send(), name=f"datagrams of {self.address}")

    async def stop(self, grace_s: float) -> None:
        """Take what the kernel holds, close, and give `handle` up to `grace_s` for what is queued. Idempotent."""
        if self._sender is None:
            return
        loop = asyncio.get_running_loop()
        for opened in self._sockets:
            loop.remove_reader(opened)
            for _ in range(_LAST_TURNS):
                if not self._read(opened):
                    break
        self.count_kernel_drops()
        for opened in self._sockets:
            opened.close()
        self._sockets = {}
        self._stopping = True
        self._arrived.set()
        sender, self._sender = self._sender, None
        await asyncio.wait({sender}, timeout=grace_s)
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sender
        if self._queue:
            self._flow.reject("stopping", len(self._queue))
            log.error("Datagrams are not delivered address=%s datagrams=%d", self.address, len(self._queue))
            self._queue.clear()
        self.queued_bytes = 0

    def count_kernel_drops(self) -> None:
        """Count what the kernel has dropped since the last time, for want of room in the socket's buffer."""
        for opened, counted in self._sockets.items():
            try:
                drops = _MEMINFO.unpack(opened.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[-1]
            except (OSError, struct.error):  # a kernel before 4.12
                continue
            new = (drops - counted) % (1 << 32)
            if new:
                self._sockets[opened] = drops
                self._flow.received += new
                self._flow.reject("udp_kernel_drops", new)
                self._troubles.note("udp_kernel_drops", f"{self.address}: net.core.rmem_max may be too small", new)

    def _read(self, opened: socket.socket) -> bool:
        """Take what has come; whether there may be more."""
        flow, queue, room_bytes = self._flow, self._queue, self._limit_bytes - self.queued_bytes
        more = True
        for _ in range(_READS_A_TURN):
            try:
                data, address = opened.recvfrom(_MAX_DATAGRAM_BYTES)
            except OSError:  # nothing more now
                more = False
                break
            flow.received += 1
            flow.received_bytes += len(data)
            n_bytes = len(data) + OVERHEAD_BYTES
            if n_bytes > room_bytes:
                flow.reject("udp_queue_full")
                self._troubles.note("udp_queue_full", f"{self.address}: {self._limit_bytes} bytes are waiting")
                continue
            room_bytes -= n_bytes
            queue.append(Datagram(data, peer_of(address)))
        self.queued_bytes = self._limit_bytes - room_bytes
        flow.last_event_at_ms = int(time.time() * 1000)
        self._arrived.set()
        return more

    async def _send(self) -> None:
        queue = self._queue
        while queue or not self._stopping:
            if not queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch: list[Datagram] = []
            n_bytes = 0
            while queue and len(batch) < _BATCH and n_bytes < _BATCH_BYTES:
                batch.append(queue.popleft())
                n_bytes += len(batch[-1].data) + OVERHEAD_BYTES
            try:
                await self._handle(batch)
            except Exception:  # the handler has counted them; the next batch may fare better
                log.exception("Datagrams were not handled address=%s datagrams=%d", self.address, len(batch))
            finally:
                self.queued_bytes -= n_bytes


def _widen(opened: socket.socket) -> int:
    """Ask for a large receive buffer; returns how large it is."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER_BYTES)
    except OSError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
