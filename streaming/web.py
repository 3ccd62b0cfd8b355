"""The web server of a worker: Faust's, with the limits that an HTTP source needs."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from contextlib import ExitStack
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import AppRunner, SockSite
from faust.types._env import WEB_BIND
from faust.web.drivers import aiohttp as driver

from streaming.errors import PortTaken

# Connections that may arrive at once and wait to be accepted: log shippers all reconnect when a worker has restarted.
# The kernel's net.core.somaxconn (4096 by default) caps it.
BACKLOG = 4_096
# uvloop accepts one connection for each turn of the loop and listening descriptor. With one, the last of 1,500 clients
# that connect to a busy worker at once was served after 3.7 s; with 16 of the same socket, after 0.6 s.
DESCRIPTORS = 16
# Idle connections are kept this long: longer than the 60 s of usual proxies, so that it is they who close. It also
# bounds how long a request's head may take to arrive.
KEEPALIVE_TIMEOUT_S = 75.0
# Requests in progress get this long when the worker stops. Above the delivery deadline of an ingest request.
SHUTDOWN_TIMEOUT_S = 15.0


class Web(driver.Web):
    """Faust's aiohttp server, one per worker process.

    Unlike Faust's own: request bodies are not inflated here (aiohttp answers a broken gzip body with 500, and knows no
    limit), the backlog is long enough for thousands of connections at once, malformed requests are answered with 400
    but don't fill the log with tracebacks, and the bind address follows `--web-host` unless `--web-bind` is given.
    """

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = AppRunner(
            self.web_app,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_TIMEOUT_S,
            shutdown_timeout=SHUTDOWN_TIMEOUT_S,
            logger=_logger(),
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
        with ExitStack() as stack:
            for sock in listening:
                stack.enter_context(sock)
            await self._runner.setup()
            for sock in listening * DESCRIPTORS:
                site = SockSite(self._runner, sock.dup(), ssl_context=conf.web_ssl_context, backlog=BACKLOG)
                await site.start()

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


def _logger() -> logging.Logger:
    logger = logging.getLogger("streaming.web.server")
    logger.addFilter(_not_malformed)
    return logger


def _not_malformed(record: logging.LogRecord) -> bool:
    """Whether it is worth a line: what arrives on the port and isn't HTTP is not, it has got its 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
