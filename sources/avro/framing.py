"""Netty's framing of Avro: a serial number, and a message in pieces."""

from __future__ import annotations

from struct import Struct

from parsers.flume_rpc import ProtocolError
from sources.avro.stream import Stream
from sources.listener import CutShort
from sources.rpc.memory import Request

HEAD_BYTES = 8
_HEAD = Struct(">II")
_PIECE_HEAD_BYTES = 4
# Avro's own are 8 KiB each but the last.
_MOST_PIECES = 131_072


async def read_message(stream: Stream, head: bytes, request: Request, max_bytes: int) -> tuple[int, bytes]:
    """The serial number and the message that follow from `head`, the first eight bytes of a frame.

    Raises: ProtocolError where it is larger than `max_bytes`, and what the stream and the request raise.
    """
    serial, n_pieces = _HEAD.unpack(head)
    if n_pieces > _MOST_PIECES:
        raise ProtocolError("not_framed", f"a frame of {n_pieces} pieces, {_MOST_PIECES} are the most")
    message = bytearray()
    for _ in range(n_pieces):
        n_bytes = int.from_bytes(await _read(stream, _PIECE_HEAD_BYTES), "big")
        if len(message) + n_bytes > max_bytes:
            size = len(message) + n_bytes
            raise ProtocolError("request_too_large", f"a message of {size} bytes or more, {max_bytes} are the most")
        if n_bytes:
            await request.add(n_bytes)
            message += await _read(stream, n_bytes)
    return serial, bytes(message)


def frame(serial: int, message: bytes) -> bytes:
    """A message as it goes over the wire."""
    if not message:
        return _HEAD.pack(serial, 0)
    return _HEAD.pack(serial, 1) + len(message).to_bytes(_PIECE_HEAD_BYTES, "big") + message


async def _read(stream: Stream, n_bytes: int) -> bytes:
    read = await stream.read_exactly(n_bytes)
    if not read:
        raise CutShort("the connection ended in the middle of a frame")
    return read
