"""The Thrift source: framed messages, compact or binary."""

from __future__ import annotations

from config.rpc_source import RpcSource
from parsers.flume_rpc import Call, ProtocolError
from parsers.flume_thrift import CODECS, FAILED, OK, UNKNOWN_METHOD
from sources.base import Publish
from sources.listener import Connection, CutShort
from sources.rpc.memory import Request
from sources.rpc.server import RpcServer
from telemetry.flow import Flow

_LENGTH_BYTES = 4


class Thrift(RpcServer):
    """Answers `append` and `appendBatch` as Flume's Thrift source does: OK, or FAILED where the client is to try again.

    See `sources.rpc.server` for what it guarantees.
    """

    def __init__(self, config: RpcSource, publish: Publish, flow: Flow) -> None:
        super().__init__(config, publish, flow)
        self._codec = CODECS[config.protocol]

    async def serve(self, connection: Connection) -> None:
        """As RpcServer says."""
        while head := await connection.read_exactly(_LENGTH_BYTES):
            with self.memory.request(connection) as request:
                answer = await self._answer(connection, request, int.from_bytes(head, "big"))
            if answer:
                await connection.write(len(answer).to_bytes(_LENGTH_BYTES, "big") + answer)

    async def _answer(self, connection: Connection, request: Request, n_bytes: int) -> bytes:
        if n_bytes > self.config.max_request_bytes:
            most = self.config.max_request_bytes
            reason = "not_framed" if n_bytes >> 31 else "request_too_large"
            raise ProtocolError(reason, f"a frame of {n_bytes} bytes, {most} are the most")
        await request.add(n_bytes)
        message = await connection.read_exactly(n_bytes)
        request.complete()
        if len(message) != n_bytes:
            raise CutShort(f"the connection ended before a frame of {n_bytes} bytes")
        return await self._call(await self.decode(lambda: self._codec.parse(message), n_bytes))

    async def _call(self, call: Call) -> bytes:
        method, sequence, events, oneway = call
        if events is None:
            self.troubles.note("unknown_method", f"the method {method[:100]!r}")
            answer = self._codec.exception(method, sequence, UNKNOWN_METHOD, f"Invalid method name: {method[:100]!r}")
        else:
            taken = await self.delivery.deliver(events)
            answer = self._codec.reply(method, sequence, OK if taken else FAILED)
        return b"" if oneway else answer
