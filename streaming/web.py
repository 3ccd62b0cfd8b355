"""The web server of a worker: Faust's, with the limits that an HTTP source needs."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from aiohttp.web import SockSite
from faust.types._env import WEB_BIND
from faust.web.drivers import aiohttp as driver
from mode import Service

from config.descriptors import descriptor_limit
from streaming.errors import PortTaken
from streaming.web_direct import Direct, DirectHandler
from streaming.web_guard import Guard, GuardedRunner
from streaming.web_limits import Troubles, WebLimits, connections_within, descriptor_free

# Connections that may arrive at once and wait to be accepted: log shippers all reconnect when a worker has restarted.
# The kernel's net.core.somaxconn (4096 by default) caps it.
BACKLOG = 4_096
# uvloop accepts one connection for each turn of the loop and listening descriptor. With one, the last of 1,500 clients
# that connect to a busy worker at once was served after 3.7 s; with 16 of the same socket, after 0.6 s.
DESCRIPTORS = 16
# A refused request may still be arriving: so long it is read and thrown away, for its client to see the answer.
LINGERING_S = 5.0
# A client that has vanished without a word is noticed after so long, and its socket given back: idle time before the
# first probe, between probes, and probes; and how long anything may stay unacknowledged, or untaken by a client that
# doesn't read. Accepted connections have these from the listening socket.
TCP_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
TCP_USER_TIMEOUT_MS = 120_000
SWEEP_S = 1.0
# Requests in progress get this long when the worker stops. Above the delivery deadline of an ingest request.
SHUTDOWN_TIMEOUT_S = 15.0


class Web(driver.Web):
    """Faust's aiohttp server, one per worker process.

    Unlike Faust's own: request bodies are not inflated here (aiohttp answers a broken gzip body with 500, and knows no
    limit), the backlog is long enough for thousands of connections at once, malformed requests are answered with 400
    but don't fill the log with tracebacks, clients can't take more than `limits`, and the bind address follows
    `--web-host` unless `--web-bind` is given.

    `notes` is kept up to date with how many connections there are, and how many clients were refused by reason.
    """

    def __init__(
        self,
        app: Any,
        *,
        limits: WebLimits | None = None,
        notes: dict[str, Any] | None = None,
        direct: Direct | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(app, **kwargs)
        self.limits = limits or WebLimits()
        self.notes: dict[str, Any] = {} if notes is None else notes
        self.troubles = Troubles(time.monotonic)
        self.guard = Guard(self.limits, self.limits.max_connections, self.troubles, time.monotonic)
        self._runner = GuardedRunner(
            partial(DirectHandler, direct or Direct(), self.guard),
            self.web_app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self.limits.keepalive_timeout_s,
            lingering_time=LINGERING_S,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            logger=logging.getLogger("streaming.web.server"),
        )

    @property
    def bind_address(self) -> str:
        """The address to listen on: Faust's default is all interfaces, whatever `--web-host` says."""
        conf = self.app.conf
        return str(conf.web_host if conf.web_bind == WEB_BIND else conf.web_bind)

    async def start_server(self) -> None:
        """Listen. Raises PortTaken."""
        conf = self.app.conf
        if conf.web_transport.scheme != "tcp":
            await super().start_server()
            return
        try:
            listening = await self._listen()
        except OSError as exc:
            raise PortTaken(
                f"The web cannot listen on {self.bind_address}:{conf.web_port} "
                f"(--web-host, --web-port): {exc.strerror or exc}"
            ) from exc
        self.guard.max_connections = connections_within(self.limits.max_connections, descriptor_limit())
        with ExitStack() as stack:
            for sock in listening:
                stack.enter_context(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in (*TCP_KEEPALIVE, (socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)):
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
            await self._runner.setup()
            for sock in listening * DESCRIPTORS:
                site = SockSite(self._runner, sock.dup(), ssl_context=conf.web_ssl_context, backlog=BACKLOG)
                await site.start()

    @Service.task
    async def _watch_clients(self) -> None:
        while not self.should_stop:
            self.guard.sweep()
            if not descriptor_free():
                self.guard.spare_descriptors()
            self.troubles.say()
            self.notes["connections"] = self.guard.connections
            self.notes["connections_refused"] = dict(self.troubles.counts)
            await self.sleep(SWEEP_S)

    async def _listen(self) -> list[socket.socket]:
        """A socket for each address of the host that this machine has. Raises OSError."""
        found = await asyncio.get_running_loop().getaddrinfo(
            self.bind_address or None, self.app.conf.web_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        missing: list[OSError] = []
        with ExitStack() as stack:
            listening = []
            for family, *_, address in dict.fromkeys(found):
                try:
                    sock = socket.create_server(address[:2], family=family, backlog=BACKLOG)
                except OSError as exc:
                    if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise
                    missing.append(exc)  # `localhost` has an IPv6 address in the book where the kernel has none
                else:
                    listening.append(stack.enter_context(sock))
            if not listening:
                raise missing[0]
            stack.pop_all()
            return listening
