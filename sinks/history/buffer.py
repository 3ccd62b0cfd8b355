"""The open roll of a partition: rows by file, compressed as they arrive, spilled to the local disk when memory is full.

Each call that costs time is in two parts: one that computes or writes, in any thread, and changes nothing here; and one
that takes its result over, at once. So whatever is cancelled or fails in the first part has left no trace. Local files
are disposable: Kafka has the records.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from sinks.history.codec import Compression, compress
from sinks.history.encoder import Encoder, Record, Rows
from sinks.history.errors import BufferFull
from sinks.history.layout import Bucket
from sinks.history.storage import Body, Segment

# Rows are compressed when so many bytes have come together. Smaller pieces compress worse (2 % at 64 KiB).
_PIECE_BYTES = 256 << 10


@dataclass(slots=True)
class _File:
    rows: int = 0
    first: int = -1
    last: int = -1
    pending: list[bytes] = field(default_factory=list)  # encoded, not compressed
    pending_bytes: int = 0
    pieces: list[bytes | Segment] = field(default_factory=list)  # compressed
    pieces_bytes: int = 0
    crc32: int = 0


class Addition(NamedTuple):
    """What a batch does to one file."""

    bucket: Bucket
    rows: Rows
    piece: bytes | None  # pending rows and these, compressed; None: these become pending
    crc32: int


class Spill(NamedTuple):
    """A local file that holds what was in memory."""

    segments: dict[Bucket, Segment]
    crc32s: dict[Bucket, int]


class SealedFile(NamedTuple):
    """A file of a roll that takes no more rows."""

    bucket: Bucket
    body: Body
    rows: int
    first: int
    last: int
    crc32: int


class RollBuffer:
    """The rows of one roll.

    Owned by one event loop; only `encode`, `spill` and `seal` may run elsewhere, one at a time.
    Holds no file open. Memory: what `memory_bytes` says, up to the owner who calls `spill` when that is too much.
    """

    def __init__(self, encoder: Encoder, compression: Compression, directory: Path) -> None:
        self._encoder = encoder
        self._compression = compression
        self._directory = directory
        self._files: dict[Bucket, _File] = {}
        self._numbers = itertools.count()
        self.rows = 0
        self.memory_bytes = 0
        self.total_bytes = 0  # in memory and on disk
        self.largest_bytes = 0  # of the largest file, compressed
        self.first = -1
        self.last = -1

    def __len__(self) -> int:
        return len(self._files)

    def encode(self, records: Sequence[Record]) -> list[Addition]:
        """What a batch adds; the larger part of the CPU that history costs, half of it without the GIL."""
        additions = []
        for bucket, rows in self._encoder.encode(records).items():
            file = self._files.get(bucket) or _File()
            piece = None
            crc32 = file.crc32
            if file.pending_bytes + len(rows.data) >= _PIECE_BYTES:
                piece = compress(b"".join([*file.pending, rows.data]), self._compression)
                crc32 = zlib.crc32(piece, crc32)
            additions.append(Addition(bucket, rows, piece, crc32))
        return additions

    def add(self, additions: Sequence[Addition]) -> None:
        """Takes over what `encode` gave."""
        for bucket, rows, piece, crc32 in additions:
            file = self._files.setdefault(bucket, _File())
            before = file.pending_bytes
            if not file.rows:
                file.first = rows.first
            file.rows += rows.records
            file.last = rows.last
            if piece is None:
                file.pending.append(rows.data)
                file.pending_bytes += len(rows.data)
                grown = len(rows.data)
            else:
                file.pending, file.pending_bytes = [], 0
                self._append(file, piece, len(piece), crc32)
                grown = len(piece) - before
            self.memory_bytes += grown
            self.total_bytes += grown
            self.rows += rows.records
        if additions:
            starts = [addition.rows.first for addition in additions]
            self.first = min(starts) if self.first < 0 else self.first
            self.last = max(addition.rows.last for addition in additions)

    def spill(self) -> Spill:
        """Writes all that is in memory to one local file.

        Raises: BufferFull, when the disk is full or not writable; what is in memory stays.
        """
        path = self._directory / f"{next(self._numbers)}.spill"
        segments: dict[Bucket, Segment] = {}
        crc32s: dict[Bucket, int] = {}
        position = 0
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                for bucket, buffered in self._files.items():
                    pieces, crc32s[bucket] = self._in_memory(buffered)
                    if not pieces:
                        continue
                    size = file.write(b"".join(pieces))
                    segments[bucket] = Segment(path, position, size)
                    position += size
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink()
            raise BufferFull(f"{path}: {error.strerror or error}") from error
        return Spill(segments, crc32s)

    def take_spill(self, spill: Spill) -> None:
        """Takes over what `spill` gave: memory is free."""
        self.total_bytes -= self.memory_bytes
        self.memory_bytes = 0
        for bucket, segment in spill.segments.items():
            file = self._files[bucket]
            on_disk = [piece for piece in file.pieces if isinstance(piece, Segment)]
            file.pieces = list(on_disk)
            file.pieces_bytes = sum(piece.size for piece in on_disk)
            file.pending, file.pending_bytes = [], 0
            self._append(file, segment, segment.size, spill.crc32s[bucket])
            self.total_bytes += segment.size

    def seal(self) -> list[SealedFile]:
        """The files of the roll, complete. Costs the compression of what is pending."""
        sealed = []
        for bucket, file in self._files.items():
            fresh, crc32 = self._in_memory(file)
            on_disk = [piece for piece in file.pieces if isinstance(piece, Segment)]
            sealed.append(SealedFile(bucket, Body([*on_disk, *fresh]), file.rows, file.first, file.last, crc32))
        return sealed

    def remove_local_files(self) -> None:
        """Deletes the spilled files."""
        shutil.rmtree(self._directory, ignore_errors=True)

    def _in_memory(self, file: _File) -> tuple[list[bytes], int]:
        """The pieces of a file that are in memory, what is pending among them, and the checksum of all of the file."""
        pieces = [piece for piece in file.pieces if isinstance(piece, bytes)]
        if not file.pending:
            return pieces, file.crc32
        piece = compress(b"".join(file.pending), self._compression)
        return [*pieces, piece], zlib.crc32(piece, file.crc32)

    def _append(self, file: _File, piece: bytes | Segment, size: int, crc32: int) -> None:
        file.pieces.append(piece)
        file.pieces_bytes += size
        file.crc32 = crc32
        self.largest_bytes = max(self.largest_bytes, file.pieces_bytes)
