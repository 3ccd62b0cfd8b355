"""`python -m bench.compression`: CPU a row and size of history files by library and level, without brokers."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable
from types import SimpleNamespace

import zstandard
from isal import isal_zlib

from bench.kafka_load import access_line
from sinks.history.encoder import Encoder

ROWS = 200_000
PIECE_BYTES = 256 << 10  # sinks/history/buffer.py
GZIP = 31
ROUNDS = 3
FIRST_MS = 1_780_000_000_000


def rows() -> bytes:
    """`jsonl` rows of access lines."""
    rng = random.Random(1)
    records = []
    for number in range(ROWS):
        body, headers = access_line(number, 0, rng)
        records.append(SimpleNamespace(offset=number, timestamp=FIRST_MS + number, headers=tuple(headers), value=body))
    return b"".join(each.data for each in Encoder(0, "jsonl").encode(records).values())


def main() -> None:
    """Print a table."""

    def deflate(library: object, level: int) -> Callable[[bytes], bytes]:
        def compress(piece: bytes) -> bytes:
            compressor = library.compressobj(level, zlib.DEFLATED, GZIP)  # type: ignore[attr-defined]
            return bytes(compressor.compress(piece) + compressor.flush())

        return compress

    def zstd(level: int) -> Callable[[bytes], bytes]:
        return lambda piece: zstandard.ZstdCompressor(level=level).compress(piece)

    data = rows()
    pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
    print(f"{len(data) / ROWS:.0f} bytes a row")
    candidates = {
        **{f"zlib {level}": deflate(zlib, level) for level in (1, 6)},
        **{f"isal {level}": deflate(isal_zlib, level) for level in range(4)},
        **{f"zstd {level}": zstd(level) for level in (1, 3)},
    }
    for name, compress in candidates.items():
        took = []
        for _ in range(ROUNDS):
            began = time.process_time()
            size = sum(len(compress(piece)) for piece in pieces)
            took.append(time.process_time() - began)
        print(f"{name:8} {min(took) / ROWS * 1e6:.2f} µs a row {size / len(data):.1%}")


if __name__ == "__main__":
    main()
