"""The web server's connections under guard: aiohttp's own, but none may take more than its share of time or memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streaming.web_limits import Troubles, WebLimits, peer_of

# Few requests are read ahead of the one in progress: each may be as large as a head can be.
PIPELINED = 4
# Connections closed when the process has no file descriptor left, by whatever else they were used up.
SPARE_DESCRIPTORS = 64
# How many of the oldest connections are looked at for one that can make room.
LOOKED_AT = 64
# An answer is written to the kernel; what that doesn't take waits here, and past so much the handler waits.
WRITE_AHEAD_BYTES = 16_384
# Connections with so little of a head are never cut off for memory: their number is bounded.
SMALL_HEAD_BYTES = 2_048

REFUSED = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n"
)
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Guard:
    """Knows every connection of the server, and cuts off those that take too much; on one event loop.

    At the limit of connections room is made: by the oldest that never made a request, else by the one that has been
    idle longest, else by a request whose body has been arriving for long; else the new one is answered 503.
    """

    def __init__(self, limits: WebLimits, max_connections: int, troubles: Troubles, clock: Any) -> None:
        self.limits = limits
        self.max_connections = max_connections
        self.troubles = troubles
        self.clock = clock
        self.held_bytes = 0
        # Both in the order of the connections' newest requests, or of their beginnings.
        self._fresh: dict[GuardedHandler, Any] = {}
        self._served: dict[GuardedHandler, Any] = {}

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._fresh) + len(self._served)

    def admit(self, handler: GuardedHandler, transport: Any) -> bool:
        """Whether a new connection may stay; another may have been closed for it."""
        if self.connections >= self.max_connections and not self._make_room():
            self.troubles.add("too_many_connections", peer_of(transport))
            return False
        self._fresh[handler] = transport
        return True

    def requested(self, handler: GuardedHandler) -> None:
        """A connection has sent a request's head: it is the last now to make room for others."""
        transport = self._fresh.pop(handler, None) or self._served.pop(handler, None)
        if transport is not None:
            self._served[handler] = transport

    def forget(self, handler: GuardedHandler) -> None:
        """A connection is gone."""
        self._fresh.pop(handler, None)
        self._served.pop(handler, None)

    def cut_off(self, handler: GuardedHandler, reason: str, answer: bytes = b"") -> None:
        """End a connection, with an answer if it takes one at once."""
        transport = self._fresh.get(handler) or self._served.get(handler)
        if transport is None:
            return
        self.troubles.add(reason, peer_of(transport))
        self.forget(handler)
        handler.let_go()
        if answer:
            transport.write(answer)
            handler.force_close()
        else:
            handler.force_close()
            transport.abort()

    def sweep(self) -> None:
        """Cut off who is too slow, and whose answers fill the memory. To be called every second or so."""
        now = self.clock()
        unsent: list[tuple[int, GuardedHandler]] = []
        for connections in (self._fresh, self._served):
            for handler, transport in list(connections.items()):
                if handler.head_since and now - handler.head_since > self.limits.head_timeout_s:
                    self.cut_off(handler, "slow_head", TOO_SLOW)
                elif handler.writing_paused or transport.is_closing():
                    size = transport.get_write_buffer_size()
                    if handler.takes_too_long(size, now):
                        self.cut_off(handler, "slow_reader")
                    else:
                        unsent.append((size, handler))
                elif handler.idle and not handler.head_since:
                    handler.let_go()
        total = sum(size for size, _ in unsent)
        if total > self.limits.unsent_bytes:
            for size, handler in sorted(unsent, key=lambda each: -each[0]):
                self.cut_off(handler, "unread_answers")
                total -= size
                if total <= self.limits.unsent_bytes:
                    break

    def spare_descriptors(self) -> None:
        """Give some descriptors back, as those of other parts have been used up."""
        self.troubles.add("no_descriptors", "unknown")
        for _ in range(SPARE_DESCRIPTORS):
            if not self._make_room():
                break

    def _make_room(self) -> bool:
        for handler in self._fresh:
            self.cut_off(handler, "evicted_silent")
            return True
        slow_body = None
        long_ago = self.clock() - self.limits.slow_body_s
        for handler, _ in zip(self._served, range(LOOKED_AT), strict=False):
            if handler.idle:
                self.cut_off(handler, "evicted_idle")
                return True
            if slow_body is None and handler.requested_at < long_ago and handler.body_incomplete:
                slow_body = handler
        if slow_body is not None:
            self.cut_off(slow_body, "evicted_slow_body")
        return slow_body is not None


class GuardedHandler(web.RequestHandler):
    """One connection: aiohttp's handling of it, watched. What isn't HTTP is answered 400 and counted, not logged."""

    __slots__ = ("_guard", "_held", "_unsent", "_unsent_since", "head_since", "requested_at")

    def __init__(self, guard: Guard, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._max_msg_queue_size = PIPELINED
        self._msg_queue_resume_size = 1
        self._guard = guard
        self._held = 0
        self._unsent = 0
        self._unsent_since = 0.0
        self.head_since = 0.0  # when the first byte came of a head that isn't complete; 0 while there is none
        self.requested_at = 0.0

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def body_incomplete(self) -> bool:
        """Whether the request in progress is still arriving."""
        return self._current_request is not None and not self._current_request.content.is_eof()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or answer 503 at once."""
        stream: Any = transport  # uvloop's is no asyncio.Transport
        if not self._guard.admit(self, stream):
            self._force_close = True
            stream.write(REFUSED)
            stream.close()
            return
        stream.set_write_buffer_limits(high=WRITE_AHEAD_BYTES)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give back what it held."""
        self.let_go()
        self._guard.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and watch heads that don't end and requests that pile up."""
        if self._force_close:
            return
        before = self._request_count
        super().data_received(data)
        waiter = self._waiter
        if self._request_count != before:
            self.head_since = 0.0
            self.requested_at = self._guard.clock()
            self._guard.requested(self)
            if len(self._messages) > 1:
                self._hold(len(data), "pipelined")
            elif self._held:
                self.let_go()
        elif before == 0 or (waiter is not None and not waiter.done()):
            self.head_since = self.head_since or self._guard.clock()
            self._hold(len(data), "large_heads")

    def let_go(self) -> None:
        """Nothing is held any more of what it sent."""
        self._guard.held_bytes -= self._held
        self._held = 0

    def takes_too_long(self, unsent_bytes: int, now: float) -> bool:
        """Whether the client has taken too little of its answer for too long, given what is left of it now."""
        limits = self._guard.limits
        if not self._unsent_since or self._unsent - unsent_bytes >= limits.write_bytes or unsent_bytes > self._unsent:
            self._unsent, self._unsent_since = unsent_bytes, now
        return now - self._unsent_since > limits.write_timeout_s

    def resume_writing(self) -> None:
        """The client has taken its answer."""
        self._unsent_since = 0.0
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what went wrong; only a fault of our own is logged."""
        if not isinstance(exc, HttpProcessingError):
            return super().handle_error(request, status, exc, message)
        self._guard.troubles.add("malformed", request.remote or "unknown")
        reason = (message or exc.message or "").partition("\n")[0]
        answer = web.Response(status=status, text=f"not HTTP as it is read here: {reason[:200]}\n")
        answer.force_close()
        return answer

    def _hold(self, n_bytes: int, reason: str) -> None:
        guard = self._guard
        self._held += n_bytes
        guard.held_bytes += n_bytes
        if reason == "large_heads" and self._held > guard.limits.head_bytes:
            guard.cut_off(self, "large_head", TOO_LARGE)
        elif guard.held_bytes > guard.limits.held_bytes and self._held > SMALL_HEAD_BYTES:
            guard.cut_off(self, reason, TOO_LARGE)


class GuardedServer(web.Server):
    """aiohttp's server, its connections handled by handlers of another kind."""

    def __init__(self, new_handler: Callable[..., GuardedHandler], server: web.Server) -> None:
        super().__init__(
            server.request_handler, request_factory=server.request_factory, loop=server._loop, **server._kwargs
        )
        self._new_handler = new_handler

    def __call__(self) -> web.RequestHandler:
        """A handler for the next connection."""
        return self._new_handler(self, loop=self._loop, **self._kwargs)


class GuardedRunner(web.AppRunner):
    """aiohttp's runner of a guarded server."""

    __slots__ = ("_new_handler",)

    def __init__(self, new_handler: Callable[..., GuardedHandler], app: web.Application, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._new_handler = new_handler

    async def _make_server(self) -> web.Server:
        return GuardedServer(self._new_handler, await super()._make_server())
