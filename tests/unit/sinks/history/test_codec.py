"""Files of many compressed pieces are read as one, here and by the tools of others."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator

import pytest
import zstandard

from sinks.history.codec import COMPRESSIONS, Compression, compress, decompress, lines

PIECES = [b"one\ntwo", b"\nthree\n" * 1000, b"x" * 3_000_000, bytes(range(256)) * 40]


def _in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_pieces_read_as_one(compression: Compression, size: int) -> None:
    pieces = PIECES[:2] if size == 1 else PIECES
    data = b"".join(compress(piece, compression) for piece in pieces)
    assert b"".join(decompress(_in_chunks(data, size), compression)) == b"".join(pieces)


def test_gzip_and_zstd_of_others_read_them() -> None:
    content = b"".join(PIECES)
    assert gzip.decompress(b"".join(compress(piece, "gzip") for piece in PIECES)) == content
    zstd = io.BytesIO(b"".join(compress(piece, "zstd") for piece in PIECES))
    assert zstandard.ZstdDecompressor().stream_reader(zstd, read_across_frames=True).read() == content


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_file_that_is_cut_short_is_told(compression: Compression) -> None:
    data = compress(b"line\n" * 1000, compression) * 2
    for end in (1, len(data) // 2 - 1, len(data) // 2 + 1, len(data) - 1):
        with pytest.raises(ValueError, match="cut short"):
            list(decompress([data[:end]], compression))
    assert b"".join(decompress([data[: len(data) // 2]], compression)) == b"line\n" * 1000


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_is_not_of_the_compression_is_told(compression: Compression) -> None:
    with pytest.raises(ValueError, match=f"not {compression}"):
        list(decompress([b"no header at all, and long enough to tell"], compression))


def test_a_file_is_inflated_in_small_parts() -> None:
    """However small the file, its reader holds a bounded part of it in memory."""
    for compression in ("gzip", "zstd"):
        data = compress(b"\0" * 200_000_000, compression)
        largest = max(len(part) for part in decompress([data], compression))
        assert largest <= 8 << 20


@pytest.mark.parametrize(
    "chunks", [[b"a\nbc\n\nd"], [b"a", b"\nb", b"c\n", b"\n", b"d"], [b"", b"a\nbc\n\n", b"", b"d"]]
)
def test_lines_are_split_at_newlines_alone(chunks: list[bytes]) -> None:
    assert list(lines(chunks)) == [b"a\n", b"bc\n", b"\n", b"d"]
    assert list(lines([b"a\r\x0b\x85\n"])) == [b"a\r\x0b\x85\n"]
    assert list(lines([])) == []
