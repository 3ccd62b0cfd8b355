"""Reads the data files of a roll and holds their rows against the commit record."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import orjson

from sinks.history import layout
from sinks.history.codec import decompress, lines
from sinks.history.errors import StorageRefused
from sinks.history.record import CommitRecord, CommittedFile
from sinks.history.report import Problem
from sinks.history.storage import Storage


def check_rows(storage: Storage, record: CommitRecord, paths: Iterable[str]) -> list[Problem]:
    """What is wrong with the rows of a roll in these of its files. Blocks, reads them whole."""
    wanted = set(paths)
    problems: list[Problem] = []
    seen: set[int] = set()
    for file in record.files:
        if file.target not in wanted:
            continue
        reading = _Reading(storage.chunks(file.target))
        try:
            offsets = _offsets(file, record.partition, reading)
            for _ in reading:  # to the end, for the checksum
                pass
        except StorageRefused:
            problems.append(Problem("missing", file.target, "it was taken away while it was looked at"))
            continue
        except ValueError as error:
            problems.append(Problem("rows", file.target, str(error)))
            continue
        if reading.crc32 != file.crc32:
            problems.append(Problem("checksum", file.target, f"crc32 {reading.crc32}, {file.crc32} was committed"))
        if offsets is None:
            continue
        if len(offsets) != file.rows:
            problems.append(Problem("rows", file.target, f"{len(offsets)} rows, {file.rows} were committed"))
        twice = seen.intersection(offsets)
        if twice:
            text = f"{len(twice)} rows are in another file of the roll too, offset {min(twice)} for one"
            problems.append(Problem("duplicate", file.target, text))
        seen.update(offsets)
    return problems


class _Reading:
    """The chunks of a file, and the checksum of those that went by."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.crc32 = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.crc32 = zlib.crc32(chunk, self.crc32)
            yield chunk


def _offsets(file: CommittedFile, partition: int, chunks: Iterable[bytes]) -> list[int] | None:
    """The offsets of a file's rows, None for a format that does not hold them. Raises: ValueError."""
    named = layout.parse_data_path(file.target)
    if named is None:
        raise ValueError("the commit record names a path that is not one of a data file")
    if named.format != "jsonl":
        return None
    offsets: list[int] = []
    previous = file.first - 1
    for number, line in enumerate(lines(decompress(chunks, named.compression)), 1):
        try:
            row = orjson.loads(line)
            offset, row_partition, hour = int(row["offset"]), row["partition"], row["ts"] // layout.HOUR_MS
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"line {number} is not a row of a history: {error}") from error
        if row_partition != partition:
            raise ValueError(f"line {number} is of partition {row_partition}")
        if not previous < offset <= file.last:
            raise ValueError(f"line {number} has offset {offset} after {previous}; {file.last} is to be the last")
        if hour != named.bucket.hour:
            raise ValueError(f"line {number} has ts {row['ts']}, which is of another hour")
        offsets.append(offset)
        previous = offset
    return offsets
