"""The Avro source: a handshake on each connection, then requests, in Netty's framing."""

from __future__ import annotations

from config.rpc_source import RpcSource
from parsers.avro_reader import AvroReader
from parsers.flume_avro import FAILED, NONE, OK, KnownClients, error, read_call, read_handshake, status
from sources.avro.framing import HEAD_BYTES, frame, read_message
from sources.avro.stream import DeflatedStream, Stream
from sources.base import Publish
from sources.listener import Connection
from sources.rpc.server import RpcServer
from telemetry.flow import Flow


class Avro(RpcServer):
    """Answers `append` and `appendBatch` as Flume's Avro source does: OK, or FAILED where the client is to try again.

    See `sources.rpc.server` for what it guarantees.
    """

    def __init__(self, config: RpcSource, publish: Publish, flow: Flow) -> None:
        super().__init__(config, publish, flow)
        self._clients = KnownClients()

    async def serve(self, connection: Connection) -> None:
        """As RpcServer says."""
        stream: Stream = DeflatedStream(connection) if self.config.compression == "deflate" else connection
        session = _Session(self, self._clients)
        while head := await stream.read_exactly(HEAD_BYTES):
            with self.memory.request(connection) as request:
                serial, message = await read_message(stream, head, request, self.config.max_request_bytes)
                request.complete()
                answer = await session.answer(message, serial)
            await stream.write(frame(serial, answer))


class _Session:
    """One connection: before its handshake, and after it."""

    def __init__(self, source: Avro, clients: KnownClients) -> None:
        self._source = source
        self._clients = clients
        self._established = False
        self._refusal: str | None = None

    async def answer(self, message: bytes, serial: int) -> bytes:
        """The answer to one message. Raises: ProtocolError."""
        reader = AvroReader(message)
        greeting = b""
        if not self._established:
            match, greeting, self._refusal = self._clients.greet(read_handshake(reader))
            if match == NONE:
                return greeting  # the client sends its request again, with the text of its protocol
            self._established = True
        if self._refusal is not None:
            self._source.troubles.note("other_protocol", self._refusal)
            return greeting + error(f"this is Flume's AvroSourceProtocol, and {self._refusal}")
        call = await self._source.decode(lambda: read_call(reader, serial), len(message))
        if call.events is None:
            if not call.method:  # a ping, for the handshake's sake
                return greeting
            self._source.troubles.note("unknown_method", f"the method {call.method[:100]!r}")
            return greeting + error(f"no such message: {call.method[:100]!r}")
        taken = await self._source.delivery.deliver(call.events)
        return greeting + status(OK if taken else FAILED)
