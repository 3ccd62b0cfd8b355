"""The frame of an RPC source: its listeners, its bounds, its counts; the protocol is a subclass's."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ssl import SSLContext
from typing import TypeVar

from config.listen import ListenAddress
from config.rpc_source import RpcSource
from parsers.flume_rpc import ProtocolError
from sources.base import Publish
from sources.certificates import server_context
from sources.listener import Connection, Listener, ListenLimits
from sources.once import Troubles
from sources.rpc.delivery import Delivery
from sources.rpc.memory import RequestMemory
from telemetry.flow import Flow

T = TypeVar("T")

STOP_S = 4.0
# Requests above this are taken apart in a thread, one after the other: each MiB takes some 10 to 30 ms.
_SMALL_REQUEST_BYTES = 131_072
# So many requests of the largest size may be in memory at once.
_LARGEST_REQUESTS = 8


class RpcServer(ABC):
    """Serves one `[[source]]` table. Unit of parallelism: a connection, whose requests are handled one after the other,
    in their order; a client that sends ahead waits in its socket.

    Guarantee: a request is answered OK once every event of it is taken (`sources.rpc.delivery`); what was not answered
    is sent again by the client. Nothing survives a crash. Whatever a client sends, it harms its own connection only.
    """

    def __init__(self, config: RpcSource, publish: Publish, flow: Flow) -> None:
        self.flow = flow
        self.config = config
        self.delivery = Delivery(config.common, publish, flow)
        self.troubles = Troubles(flow)
        self.memory = RequestMemory(_LARGEST_REQUESTS * config.max_request_bytes)
        self.listeners: list[Listener] = []
        self._decoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"decode {config.kind}")

    async def start(self) -> None:
        """Listen at every address. Raises: CannotListen, with none of them listened at."""
        config = self.config
        limits = ListenLimits(
            max_connections=config.max_connections,
            max_per_peer=max(1, config.max_connections // 2),
            idle_timeout_s=config.idle_timeout_s,
        )
        try:
            for address in config.listen:
                listener = Listener(
                    address,
                    self._handle,
                    on_refused=self.troubles.note,
                    ssl=self._tls(address),
                    limits=limits,
                )
                await listener.start()
                self.listeners.append(listener)
        except BaseException:
            await self.stop()
            raise
        self.flow.state = "running"

    async def stop(self) -> None:
        """Let nobody in, answer what has come within a few seconds, close. Once more does nothing."""
        stopping, self.listeners = self.listeners, []
        await asyncio.gather(*(listener.stop(STOP_S) for listener in stopping))
        self._decoding.shutdown(wait=False)
        self.flow.state = "stopped"

    @abstractmethod
    async def serve(self, connection: Connection) -> None:
        """Answer requests until the connection ends. Raises: ProtocolError, ClientTrouble; both close it."""

    async def decode(self, parse: Callable[[], T], n_bytes: int) -> T:
        """Run a codec's `parse` on a request of so many bytes, elsewhere if it would hold up other clients."""
        if n_bytes <= _SMALL_REQUEST_BYTES:
            return parse()
        return await asyncio.get_running_loop().run_in_executor(self._decoding, parse)

    async def _handle(self, connection: Connection) -> None:
        try:
            await self.serve(connection)
        except ProtocolError as error:
            self.troubles.note(error.reason, f"from {connection.peer}: {error}")

    def _tls(self, address: ListenAddress) -> SSLContext | None:
        config = self.config
        if address.transport != "tls" or config.cert is None or config.key is None:
            return None
        return server_context(address, config.cert, config.key, config.client_ca)
