"""A TCP listener with limits, shared by every source that clients connect to."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl as tls
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from config.descriptors import descriptor_limit
from config.listen import ListenAddress
from sources.client import ClientTrouble, Connection, CutShort, IdleTimeout, PeerStalled, peer_of
from sources.errors import CannotListen
from sources.tls import TlsConnection

__all__ = [
    "ClientTrouble",
    "Connection",
    "CutShort",
    "IdleTimeout",
    "ListenLimits",
    "Listener",
    "PeerStalled",
    "bind",
]

log = logging.getLogger(__name__)

_BACKLOG: Final = 512
# Out of descriptors or memory: the connection stays in the kernel's queue until some are given back.
_ACCEPT_AGAIN_S: Final = 0.5
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# A peer that vanished without a word is noticed after 60 + 4 * 15 s, an answer that nobody takes after 120 s.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_USER_TIMEOUT_MS: Final = 120_000


@dataclass(frozen=True, slots=True)
class ListenLimits:
    """What clients may take of a listener.

    One peer address gets at most `max_per_peer` of the `max_connections`, so that no one machine can keep all others
    out. When all are taken, connections that have never sent a byte for `silent_s` make room for new ones.
    """

    max_connections: int = 1_000
    max_per_peer: int = 500
    idle_timeout_s: float | None = None  # None: a client may be silent for ever
    write_timeout_s: float = 30.0
    handshake_timeout_s: float = 10.0
    silent_s: float = 10.0


class Listener:
    """Accepts TCP (or TLS) connections at one address and runs a handler task for each.

    The handler reads, and is not read ahead of: a client whose handler is slow waits. Whatever a client does ends its
    own connection only. A handler returns when it is done with the connection (at the latest when a read says it has
    ended); the listener closes it. ClientTrouble that a handler lets pass is counted; any other exception is logged as
    our error, and ends that connection too.

    `on_refused(reason, detail)` is told of every client that was not let in or was thrown out: too_many_connections,
    too_many_of_one_peer, silent, tls_handshake, no_descriptors, idle, cut_short, stalled, handler_failed.
    """

    def __init__(
        self,
        address: ListenAddress,
        handle: Callable[[Connection], Awaitable[None]],
        *,
        on_refused: Callable[[str, str], None],
        ssl: tls.SSLContext | None = None,
        limits: ListenLimits | None = None,
    ) -> None:
        self.address = address
        self.limits = limits or ListenLimits()
        self._handle = handle
        self._ssl = ssl
        self._on_refused = on_refused
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._serving: dict[asyncio.Task[None], tuple[Connection, float]] = {}
        self._per_peer: Counter[str] = Counter()
        self._stopping = False

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._serving)

    @property
    def port(self) -> int:
        """The port in use; needed where the address says 0."""
        return int(self._sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Listen, and return. Raises: CannotListen; nothing is left open then."""
        descriptor_limit()  # raises it
        self._sockets = await bind(self.address, socket.SOCK_STREAM)
        try:
            for listening in self._sockets:
                listening.listen(_BACKLOG)
        except OSError as error:
            self._close_sockets()
            raise CannotListen(str(self.address), error.strerror or str(error)) from error
        self._accepting = [
            asyncio.create_task(self._accept(listening), name=f"accept {self.address}") for listening in self._sockets
        ]

    async def stop(self, grace_s: float) -> None:
        """Let nobody in, read nothing more, give handlers `grace_s` to finish with what was read, then end them.

        All connections are closed when it returns. Idempotent.
        """
        self._stopping = True
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._accepting = []
        self._close_sockets()
        for connection, _ in self._serving.values():
            connection.end()
        if self._serving:
            await asyncio.wait(set(self._serving), timeout=grace_s)
        late = set(self._serving)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
            await asyncio.sleep(0)  # their sockets are closed in the loop's next turn

    def _close_sockets(self) -> None:
        for listening in self._sockets:
            listening.close()
        self._sockets = []

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:
                # Anything else is the fate of that one connection: ECONNABORTED, or an error of the network below it.
                if error.errno in _NO_ROOM:
                    self._on_refused("no_descriptors", f"accept: {error.strerror}")
                    await asyncio.sleep(_ACCEPT_AGAIN_S)
                else:
                    await asyncio.sleep(0)
                continue
            peer = peer_of(address)
            refused = self._no_room(peer)
            if refused:
                accepted.close()
                self._on_refused(refused, f"from {peer}; {len(self._serving)} are connected")
                continue
            connection = self._new_connection(peer)
            task = loop.create_task(self._serve(connection, accepted), name=f"client {peer}")
            self._serving[task] = (connection, loop.time())
            self._per_peer[peer] += 1
            task.add_done_callback(self._gone)

    def _new_connection(self, peer: str) -> Connection:
        limits = self.limits
        if self._ssl is None:
            return Connection(peer, limits.idle_timeout_s, limits.write_timeout_s)
        return TlsConnection(peer, limits.idle_timeout_s, limits.write_timeout_s, self._ssl)

    def _no_room(self, peer: str) -> str | None:
        """Why there is no room for a client from `peer`; None where there is, or where it could be made."""
        if self._per_peer[peer] >= self.limits.max_per_peer:
            return None if self._make_room(peer) else "too_many_of_one_peer"
        if len(self._serving) >= self.limits.max_connections:
            return None if self._make_room(None) else "too_many_connections"
        return None

    def _make_room(self, peer: str | None) -> bool:
        """Throw out the first client (of `peer`) that has been here for a while and never sent a byte."""
        now_s = asyncio.get_running_loop().time()
        for task, (connection, since_s) in self._serving.items():  # oldest first
            if now_s - since_s < self.limits.silent_s:
                break
            if not connection.received_bytes and (peer is None or connection.peer == peer):
                self._on_refused("silent", f"from {connection.peer}: no byte for {now_s - since_s:.0f} s")
                self._forget(task)
                task.cancel()
                return True
        return False

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._forget(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("A client's task failed address=%s", self.address, exc_info=error)

    def _forget(self, task: asyncio.Task[None]) -> None:
        served = self._serving.pop(task, None)
        if served is not None:
            peer = served[0].peer
            self._per_peer[peer] -= 1
            if not self._per_peer[peer]:
                del self._per_peer[peer]

    async def _serve(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            if not await self._connect(connection, accepted):
                return
            await self._handle(connection)
            await self._close(connection)
        except ClientTrouble as trouble:
            if not self._stopping:
                self._on_refused(trouble.reason, f"from {connection.peer}: {trouble}")
        except Exception as error:
            self._on_refused("handler_failed", f"from {connection.peer}: {error!r}")
            log.exception("A client's connection is closed for an error of ours address=%s", self.address)
        finally:
            connection.abort()

    async def _connect(self, connection: Connection, accepted: socket.socket) -> bool:
        """Hand the socket to the event loop, and shake hands where that is TLS; False where the client is gone."""
        transferred = False
        try:
            accepted.setblocking(False)
            _keep_alive(accepted)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, accepted)
            transferred = True
        except OSError:  # gone as soon as it came
            return False
        finally:
            if not transferred:
                accepted.close()
        if isinstance(connection, TlsConnection):
            try:
                await connection.handshake(self.limits.handshake_timeout_s)
            except (OSError, asyncio.TimeoutError, ClientTrouble) as error:  # ssl.SSLError is an OSError
                if not self._stopping:
                    self._on_refused("tls_handshake", f"from {connection.peer}: {str(error) or 'it took too long'}")
                connection.close()
                return False
        return True

    async def _close(self, connection: Connection) -> None:
        """Close when the last answer is out; a client that does not take it is cut off after the write timeout."""
        connection.close()
        await asyncio.wait({connection.closed}, timeout=self.limits.write_timeout_s)
        if not connection.closed.done():
            raise PeerStalled("it did not take its last answer")


def _keep_alive(accepted: socket.socket) -> None:
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        accepted.setsockopt(socket.IPPROTO_TCP, option, value)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)


async def bind(address: ListenAddress, kind: socket.SocketKind) -> list[socket.socket]:
    """Non-blocking sockets bound to every address that the host of `address` has here; `::` takes IPv4 too.

    Raises: CannotListen; nothing is left open then.
    """
    loop = asyncio.get_running_loop()
    bound: list[socket.socket] = []
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=kind, flags=socket.AI_PASSIVE)
        for family, _, protocol, _, where in dict.fromkeys(found):
            opened = socket.socket(family, kind, protocol)
            bound.append(opened)
            opened.setblocking(False)
            if kind == socket.SOCK_STREAM:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address.host != "::")
            opened.bind(where)
    except OSError as error:
        for opened in bound:
            opened.close()
        raise CannotListen(str(address), error.strerror or str(error)) from error
    return bound
