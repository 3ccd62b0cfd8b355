"""Flume's RPC messages as other libraries write and read them (thriftpy2, fastavro), and a client to send them."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fastavro
import thriftpy2
from thriftpy2.protocol import TBinaryProtocol, TCompactProtocol
from thriftpy2.thrift import TApplicationException, TMessageType
from thriftpy2.transport import TMemoryBuffer

from config.listen import ListenAddress
from config.rpc_source import RpcSource
from config.source import SourceCommon
from deploy.cluster.process import LOCALHOST
from parsers.avro_protocol import FLUME_HASH, PROTOCOL
from parsers.event import Event
from sources.avro.source import Avro
from sources.errors import SourceError
from sources.rpc.server import RpcServer
from sources.thrift.source import Thrift
from telemetry.flow import Flow

DEADLINE_S = 60.0

FLUME = thriftpy2.load(str(Path(__file__).parents[1] / "data" / "rpc" / "flume.thrift"), module_name="flume_thrift")
PROTOCOLS = {"compact": TCompactProtocol, "binary": TBinaryProtocol}

_TYPES = {declared["name"]: declared for declared in json.loads(PROTOCOL)["types"]}
EVENT_SCHEMA = fastavro.parse_schema(_TYPES["AvroFlumeEvent"])
_METADATA = {"type": "map", "values": "bytes"}
_HASH = {"type": "fixed", "name": "MD5", "size": 16}
_HANDSHAKE_REQUEST = fastavro.parse_schema(
    {
        "type": "record",
        "name": "HandshakeRequest",
        "fields": [
            {"name": "clientHash", "type": _HASH},
            {"name": "clientProtocol", "type": ["null", "string"]},
            {"name": "serverHash", "type": "MD5"},
            {"name": "meta", "type": ["null", _METADATA]},
        ],
    }
)
_HANDSHAKE_RESPONSE = fastavro.parse_schema(
    {
        "type": "record",
        "name": "HandshakeResponse",
        "fields": [
            {
                "name": "match",
                "type": {"type": "enum", "name": "HandshakeMatch", "symbols": ["BOTH", "CLIENT", "NONE"]},
            },
            {"name": "serverProtocol", "type": ["null", "string"]},
            {"name": "serverHash", "type": ["null", _HASH]},
            {"name": "meta", "type": ["null", _METADATA]},
        ],
    }
)


def thrift_request(protocol: str, method: str, events: Sequence[Event], sequence: int = 1, kind: int = 1) -> bytes:
    """A message of ThriftSourceProtocol without its frame; `append` has one event."""
    made = [FLUME.ThriftFlumeEvent(headers=headers, body=body) for headers, body in events]
    if method == "append":
        arguments = FLUME.ThriftSourceProtocol.append_args(event=made[0])
    else:
        arguments = FLUME.ThriftSourceProtocol.appendBatch_args(events=made)
    buffer = TMemoryBuffer()
    wire = PROTOCOLS[protocol](buffer)
    wire.write_message_begin(method, kind, sequence)
    arguments.write(wire)
    wire.write_message_end()
    return bytes(buffer.getvalue())


class ThriftAnswer(NamedTuple):
    method: str
    sequence: int
    status: int | None  # None: an exception
    exception: TApplicationException | None


def thrift_answer(protocol: str, message: bytes) -> ThriftAnswer:
    """An answer without its frame."""
    wire = PROTOCOLS[protocol](TMemoryBuffer(message))
    method, kind, sequence = wire.read_message_begin()
    if kind == TMessageType.EXCEPTION:
        exception = TApplicationException()
        exception.read(wire)
        return ThriftAnswer(method, sequence, None, exception)
    assert kind == TMessageType.REPLY
    result = FLUME.ThriftSourceProtocol.append_result()
    result.read(wire)
    return ThriftAnswer(method, sequence, result.success, None)


def avro_handshake(
    client_hash: bytes = FLUME_HASH, protocol: str | None = None, server_hash: bytes = FLUME_HASH, meta: Any = None
) -> bytes:
    """A HandshakeRequest."""
    request = {"clientHash": client_hash, "clientProtocol": protocol, "serverHash": server_hash, "meta": meta}
    return _written(_HANDSHAKE_REQUEST, request)


def avro_request(method: str, events: Sequence[Event], metadata: dict[str, bytes] | None = None) -> bytes:
    """A request after the handshake; `append` has one event."""
    values = [{"headers": headers, "body": body} for headers, body in events]
    head = _written(_METADATA, metadata or {}) + _written("string", method)
    if method == "append":
        return head + _written(EVENT_SCHEMA, values[0])
    if method == "appendBatch":
        return head + _written({"type": "array", "items": EVENT_SCHEMA}, values)
    return head


class AvroAnswer(NamedTuple):
    match: str | None  # None: there was no handshake
    server_protocol: str | None
    status: str | None
    error: str | None


def avro_answer(message: bytes, *, handshake: bool) -> AvroAnswer:
    """An answer without its frame, read to its last byte."""
    source = io.BytesIO(message)
    match = protocol = status = error = None
    if handshake:
        told = fastavro.schemaless_reader(source, _HANDSHAKE_RESPONSE, None)
        match, protocol = told["match"], told["serverProtocol"]
    if source.tell() < len(message):
        assert fastavro.schemaless_reader(source, _METADATA, None) == {}
        if fastavro.schemaless_reader(source, "boolean", None):
            error = fastavro.schemaless_reader(source, ["string"], None)
        else:
            status = fastavro.schemaless_reader(source, _TYPES["Status"], None)
    assert source.read() == b""
    return AvroAnswer(match, protocol, status, error)


def avro_frame(serial: int, message: bytes, piece_bytes: int = 8_192) -> bytes:
    """A message in Netty's framing, in pieces as Avro makes them."""
    pieces = [message[start : start + piece_bytes] for start in range(0, len(message), piece_bytes)]
    framed = b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
    return serial.to_bytes(4, "big") + len(pieces).to_bytes(4, "big") + framed


def thrift_frame(message: bytes) -> bytes:
    """A message with its length."""
    return len(message).to_bytes(4, "big") + message


def _written(schema: Any, value: Any) -> bytes:
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, schema, value)
    return buffer.getvalue()


class RpcClient:
    """A connection to a source, on either protocol's framing; every wait has a deadline."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deflate: bool = False) -> None:
        self._reader = reader
        self.writer = writer
        self._out = zlib.compressobj() if deflate else None
        self._in = zlib.decompressobj()
        self._inflated = b""

    @classmethod
    async def connect(cls, port: int, *, deflate: bool = False, ssl: Any = None) -> RpcClient:
        reader, writer = await asyncio.open_connection(LOCALHOST, port, ssl=ssl)
        return cls(reader, writer, deflate=deflate)

    async def send(self, framed: bytes) -> None:
        if self._out is not None:
            framed = self._out.compress(framed) + self._out.flush(zlib.Z_SYNC_FLUSH)
        self.writer.write(framed)
        await asyncio.wait_for(self.writer.drain(), DEADLINE_S)

    async def thrift_answer(self, protocol: str) -> ThriftAnswer:
        return thrift_answer(protocol, await self._read(int.from_bytes(await self._read(4), "big")))

    async def avro_answer(self, *, handshake: bool) -> tuple[int, AvroAnswer]:
        """The serial number and the answer."""
        serial = int.from_bytes(await self._read(4), "big")
        pieces = int.from_bytes(await self._read(4), "big")
        message = b"".join([await self._read(int.from_bytes(await self._read(4), "big")) for _ in range(pieces)])
        return serial, avro_answer(message, handshake=handshake)

    async def ended(self) -> bool:
        """Whether the source closes the connection without another byte."""
        try:
            return await asyncio.wait_for(self._reader.read(1), DEADLINE_S) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(self.writer.wait_closed(), DEADLINE_S)

    async def _read(self, n_bytes: int) -> bytes:
        if self._out is None:
            return await asyncio.wait_for(self._reader.readexactly(n_bytes), DEADLINE_S)
        while len(self._inflated) < n_bytes:
            came = await asyncio.wait_for(self._reader.read(65_536), DEADLINE_S)
            assert came, "the source closed the connection"
            self._inflated += self._in.decompress(came)
        read, self._inflated = self._inflated[:n_bytes], self._inflated[n_bytes:]
        return read


class Taker:
    """Stands where the producer does: takes events, refuses them, or makes their senders wait, at a test's word."""

    def __init__(self) -> None:
        self.refusal: SourceError | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = 0
        self.events: list[Event] = []

    async def send(self, events: Sequence[Event]) -> None:
        self.waiting += 1
        await self.open.wait()
        self.waiting -= 1
        if self.refusal is not None:
            raise self.refusal
        self.events += events


@contextlib.asynccontextmanager
async def running(kind: str, *, tls: bool = False, **options: Any) -> AsyncIterator[tuple[RpcServer, Taker, int]]:
    """A source of `kind` that is served on a free port, given third; at its end its counts must add up."""
    address = ListenAddress("tls" if tls else "tcp", LOCALHOST, 0)
    common = SourceCommon(kind, options.pop("headers", {}), options.pop("override", False), None)
    config = RpcSource(common, kind, (address,), **options)  # type: ignore[arg-type]
    taker = Taker()
    source = (Thrift if kind == "thrift" else Avro)(config, taker, Flow(kind, "source"))
    await source.start()
    try:
        yield source, taker, source.listeners[0].port
    finally:
        await source.stop()
        flow = source.flow
        assert flow.received == flow.sent + sum(flow.rejected.values())
        assert flow.state == "stopped"
        assert source.memory.used_bytes == 0


def troubles(source: RpcServer) -> dict[str, int]:
    """What clients did wrong so far, by reason."""
    return dict(source.flow.notes.get("troubles", {}))
