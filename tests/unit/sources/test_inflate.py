"""Compressed bodies are inflated whole, and never further than allowed."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable

import pytest
import zstandard

from sources.errors import BadRequest, TooLarge
from sources.inflate import gunzip, unzstd

TEXT = b"127.0.0.1 - - [10/Oct/2023:13:55:36 +0000] GET /\n" * 5_000
MAX_BYTES = 1_000_000


def zstd(content: bytes, *, level: int = 3, with_size: bool = True) -> bytes:
    return zstandard.ZstdCompressor(level=level, write_content_size=with_size).compress(content)


BOTH = pytest.mark.parametrize(("compress", "inflate"), [(gzip.compress, gunzip), (zstd, unzstd)], ids=["gzip", "zstd"])
Compress = Callable[[bytes], bytes]
Inflate = Callable[[bytes, int], bytes]


@BOTH
@pytest.mark.parametrize("content", [b"", b"x", TEXT, b"\0" * 100_000, bytes(range(256)) * 400])
def test_one_member(compress: Compress, inflate: Inflate, content: bytes) -> None:
    assert inflate(compress(content), MAX_BYTES) == content


@BOTH
def test_several_members_are_one_body(compress: Compress, inflate: Inflate) -> None:
    assert (
        inflate(compress(b"one\n") + compress(b"") + compress(TEXT) + compress(b"two"), MAX_BYTES)
        == b"one\n" + TEXT + b"two"
    )


@BOTH
def test_the_limit_is_exact(compress: Compress, inflate: Inflate) -> None:
    assert len(inflate(compress(b"a" * MAX_BYTES), MAX_BYTES)) == MAX_BYTES
    with pytest.raises(TooLarge, match=f"more than {MAX_BYTES} bytes"):
        inflate(compress(b"a" * (MAX_BYTES + 1)), MAX_BYTES)


@BOTH
def test_the_limit_holds_over_all_members(compress: Compress, inflate: Inflate) -> None:
    half = compress(b"a" * (MAX_BYTES // 2))
    assert len(inflate(half + half, MAX_BYTES)) == MAX_BYTES
    with pytest.raises(TooLarge):
        inflate(half + half + compress(b"b"), MAX_BYTES)


@BOTH
def test_a_bomb_is_not_inflated(compress: Compress, inflate: Inflate) -> None:
    bomb = compress(b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflate(bomb, MAX_BYTES)
        assert tracemalloc.get_traced_memory()[1] < 3 * MAX_BYTES
    finally:
        tracemalloc.stop()


@BOTH
def test_a_million_empty_members_are_refused_soon(compress: Compress, inflate: Inflate) -> None:
    begun = time.perf_counter()
    with pytest.raises(BadRequest, match="members"):
        inflate(compress(b"") * 500_000, MAX_BYTES)
    assert time.perf_counter() - begun < 5.0  # copying the rest for each would take minutes


@BOTH
def test_every_way_of_being_cut_off_is_noticed(compress: Compress, inflate: Inflate) -> None:
    whole = compress(b"some content that is long enough") + compress(b"and more")
    end_of_first = len(compress(b"some content that is long enough"))
    for length in range(len(whole)):
        if length == end_of_first:
            continue
        with pytest.raises(BadRequest) as refused:
            inflate(whole[:length], MAX_BYTES)
        assert refused.value.reason == "bad_encoding"


@BOTH
@pytest.mark.parametrize("junk", [b"junk", b"[]", b"\x1f\x8b", b"\x28\xb5\x2f", TEXT])
def test_what_is_not_compressed_is_refused(compress: Compress, inflate: Inflate, junk: bytes) -> None:
    with pytest.raises(BadRequest):
        inflate(junk, MAX_BYTES)
    with pytest.raises(BadRequest):
        inflate(compress(b"good") + junk, MAX_BYTES)


def test_zero_bytes_after_a_gzip_member_are_padding() -> None:
    assert gunzip(gzip.compress(b"one") + b"\0" * 100_000 + gzip.compress(b"two") + b"\0" * 7, MAX_BYTES) == b"onetwo"


def test_a_wrong_checksum_is_refused() -> None:
    body = bytearray(gzip.compress(b"content"))
    body[-8] ^= 1
    with pytest.raises(BadRequest, match="incorrect data check"):
        gunzip(bytes(body), MAX_BYTES)


def test_zstd_frames_without_their_size() -> None:
    assert unzstd(zstd(TEXT, with_size=False) * 2, MAX_BYTES) == TEXT * 2


def test_a_zstd_frame_that_wants_a_giant_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(19, window_log=27, write_content_size=False)
    writer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(BadRequest, match="too much memory"):
        unzstd(writer.compress(TEXT) + writer.flush(), MAX_BYTES)
