"""Compression of a file in independent pieces, and reading it back.

A piece is a gzip member or a zstd frame of its own: gzip, zstd and Hadoop read files of many such pieces as one. So a
roll of a thousand files holds no thousand compressors (268 kB each with zlib), and pieces are made in any thread.
With pieces of 256 KiB the files come out 2 % larger than in one stream.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Literal

import zstandard
from isal import isal_zlib

Compression = Literal["gzip", "zstd", "none"]
COMPRESSIONS: tuple[Compression, ...] = ("gzip", "zstd", "none")

_GZIP = 31  # zlib's wbits for a gzip header and trailer
_GZIP_LEVEL = 2  # ISA-L's: a quarter of the CPU of zlib's level 1, and smaller; docs/decisions/0010-gzip.md
_ZSTD_LEVEL = 3  # smaller than gzip level 9 at less CPU than gzip level 1
_READ_BYTES = 1 << 20
_ZSTD_SLICE_BYTES = 256  # 128 KiB of output for 4 bytes is the most there is: 8 MiB a slice


def compress(data: bytes, compression: Compression) -> bytes:
    """One piece of a file. Releases the GIL while it works."""
    if compression == "gzip":
        compressor = isal_zlib.compressobj(_GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP)
        return compressor.compress(data) + compressor.flush()
    if compression == "zstd":
        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)
    return data


def decompress(chunks: Iterable[bytes], compression: Compression) -> Iterator[bytes]:
    """The content of a file that comes in chunks, in chunks.

    Raises: ValueError when the file is cut short or is not of that compression.
    """
    if compression == "gzip":
        return _gunzip(chunks)
    if compression == "zstd":
        return _unzstd(chunks)
    return iter(chunks)


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Splits content after each newline; what follows the last one comes as it is."""
    rest: list[bytes] = []  # of a line that is not complete yet
    for chunk in chunks:
        complete = chunk.split(b"\n")
        if len(complete) == 1:
            rest.append(chunk)
            continue
        yield b"".join([*rest, complete[0], b"\n"])
        for line in complete[1:-1]:
            yield line + b"\n"
        rest = [complete[-1]]
    last = b"".join(rest)
    if last:
        yield last


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    member = zlib.decompressobj(_GZIP)
    fresh = True  # no byte of the member was read yet
    for chunk in chunks:
        data = chunk
        while data:
            fresh = False
            try:
                inflated = member.decompress(data, _READ_BYTES)
            except zlib.error as error:
                raise ValueError(f"not gzip: {error}") from error
            if inflated:
                yield inflated
            if member.eof:
                data, member, fresh = member.unused_data, zlib.decompressobj(_GZIP), True
            else:
                data = member.unconsumed_tail
    if not fresh:
        raise ValueError("the gzip file is cut short")


def _unzstd(chunks: Iterable[bytes]) -> Iterator[bytes]:
    fresh = True
    frame = zstandard.ZstdDecompressor().decompressobj()
    for data in _slices(chunks):
        rest = data
        while rest:
            fresh = False
            try:
                inflated = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise ValueError(f"not zstd: {error}") from error
            if inflated:
                yield inflated
            if not frame.eof:
                break
            rest, frame, fresh = frame.unused_data, zstandard.ZstdDecompressor().decompressobj(), True
    if not fresh:
        raise ValueError("the zstd file is cut short")


def _slices(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Small input, as zstd has no limit on the output: rows can shrink ten thousandfold."""
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_SLICE_BYTES):
            yield chunk[start : start + _ZSTD_SLICE_BYTES]
