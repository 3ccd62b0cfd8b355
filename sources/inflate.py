"""Inflates compressed request bodies, never further than allowed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from sources.errors import BadRequest, TooLarge

_GZIP = 16 + zlib.MAX_WBITS
# The window that RFC 9659 allows in `Content-Encoding: zstd`; a frame may ask its reader for gigabytes.
_ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
# A decoder hands back what follows its member as a copy. Small pieces and a bound on the members keep a body of a
# million empty members from costing a million copies of it. bgzip makes a member of each 64 KiB: hundreds are real.
_PIECE_BYTES = 65_536
_MAX_MEMBERS = 4_096


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """The content of a gzip body of one or more members; zero bytes after a member are padding.

    Raises: BadRequest if it is corrupt or cut off, TooLarge if it inflates to more than `max_bytes`.
    """
    left = max_bytes

    def feed(member: Any, piece: bytes) -> bytes:
        nonlocal left
        content: bytes = member.decompress(piece, left + 1)
        left -= len(content)
        if left < 0:
            raise _too_large(max_bytes)
        return content

    try:
        return _members(body, lambda: zlib.decompressobj(_GZIP), feed, padding=b"\0")
    except zlib.error as error:
        raise BadRequest("bad_encoding", f"not gzip: {error}") from None


def unzstd(body: bytes, max_bytes: int) -> bytes:
    """The content of a zstd body of one or more frames.

    Raises: BadRequest if it is corrupt, cut off or wants a window above 8 MiB, TooLarge if it inflates to more than
    `max_bytes`.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    try:
        # The decoder that notices a frame cut off can't be told to stop early, the one that can doesn't notice: measure
        # first, then inflate.
        with decompressor.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
            left = max_bytes
            while content := reader.read(_PIECE_BYTES):
                left -= len(content)
                if left < 0:
                    raise _too_large(max_bytes)
        return _members(body, decompressor.decompressobj, lambda member, piece: member.decompress(piece), padding=b"")
    except zstandard.ZstdError as error:
        raise BadRequest("bad_encoding", f"not zstd: {error}") from None


def _members(body: bytes, new: Callable[[], Any], feed: Callable[[Any, bytes], bytes], padding: bytes) -> bytes:
    """The contents of all members, joined. `new` makes a decoder for each, `feed` gives it a piece."""
    parts: list[bytes] = []
    members = 0
    decoder = None
    for start in range(0, len(body), _PIECE_BYTES):
        piece = body[start : start + _PIECE_BYTES]
        while piece:
            if decoder is None:
                piece = piece.lstrip(padding) if members and padding else piece
                if not piece:
                    break
                members += 1
                if members > _MAX_MEMBERS:
                    raise BadRequest("bad_encoding", f"more than {_MAX_MEMBERS} compressed members in one body")
                decoder = new()
            parts.append(feed(decoder, piece))
            if not decoder.eof:
                break
            piece = decoder.unused_data
            decoder = None
    if decoder is not None or not members:
        raise BadRequest("bad_encoding", "the compressed body is cut off before its end")
    return b"".join(parts)


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge("body_too_large", f"the body inflates to more than {max_bytes} bytes")
