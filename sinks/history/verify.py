"""Reads a history and says whether every offset is there once, as it was committed. Changes nothing.

May run while writers write: what is committed after the look began is not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Executor

from sinks.history import layout
from sinks.history.commit import CommitLog
from sinks.history.layout import DataFile
from sinks.history.record import CommitRecord, CommittedFile
from sinks.history.report import AcceptedLoss, PartitionReport, Problem, VerifyReport
from sinks.history.rows import check_rows
from sinks.history.storage import Storage
from sinks.history.threads import Threads

_PARALLEL = 8


async def verify(
    storage: Storage,
    topic: str,
    partitions: Collection[int] | None = None,
    *,
    deep: bool = False,
    executor: Executor | None = None,
) -> VerifyReport:
    """Holds commit records against one another and against the files in data/, of all partitions or of some.

    Costs a listing of each directory in data/ and a read of each archive file; `deep` reads all data files too, and
    checks rows against offsets (for `text`, whose rows may contain newlines, the checksum alone).

    Raises: StorageUnavailable, StorageDenied.
    """
    threads = Threads(executor, _PARALLEL)
    report = VerifyReport()
    # Records before files: then a file that is committed in between is newer than any record, which is how it is told.
    wanted = await threads.run(_partitions, storage, topic) if partitions is None else set(partitions)
    parts = {partition: PartitionReport(topic, partition) for partition in wanted}
    records = {partition: await threads.run(_records, storage, part) for partition, part in parts.items()}
    found: dict[int, dict[str, DataFile]] = {}
    sizes = await _sizes(storage, threads)
    for path in sorted(sizes):
        file = layout.parse_data_path(path)
        if file is None:
            report.foreign.append(path)
        elif file.topic == topic and (partitions is None or file.partition in parts):
            found.setdefault(file.partition, {})[path] = file
    for partition in sorted({*parts, *found}):
        part = parts.get(partition) or PartitionReport(topic, partition)
        report.partitions.append(part)
        rolls = records.get(partition, [])
        _check_spans(part, rolls, _strangers(part, rolls, found.get(partition, {})))
        await _check_files(part, rolls, sizes, storage, threads, deep)
    return report


def _partitions(storage: Storage, topic: str) -> set[int]:
    """The partitions of a topic that have commit records."""
    names = [entry.name for area in (layout.COMMITS, layout.ARCHIVE) for entry in storage.entries(area)]
    parsed = [layout.parse_partition_name(name) for name in names]
    return {name[1] for name in parsed if name is not None and name[0] == topic}


def _records(storage: Storage, part: PartitionReport) -> list[CommitRecord]:
    """All rolls of a partition in order, counted in its report."""
    rolls, unreadable = CommitLog(storage, part.topic, part.partition).all()
    part.problems += [Problem("record", path, text) for path, text in unreadable]
    for roll in rolls:
        if roll.lost:
            part.lost.append(AcceptedLoss(roll.first, roll.last, roll.accepted_at_ms, roll.why))
            continue
        part.rolls += 1
        part.files += len(roll.files)
        part.rows += roll.rows
        part.bytes += sum(file.bytes for file in roll.files)
        part.holes += roll.last - roll.first + 1 - roll.rows
        if sum(file.rows for file in roll.files) != roll.rows:
            text = f"its files hold {sum(file.rows for file in roll.files)} rows by their own count, {roll.rows} by its"
            part.problems.append(Problem("record", f"{roll.first} to {roll.last}", text))
    return rolls


async def _sizes(storage: Storage, threads: Threads) -> dict[str, int]:
    """All files in data/."""
    sizes: dict[str, int] = {}
    directories = [layout.DATA]

    async def look(directory: str) -> None:
        for entry in await threads.run(storage.entries, directory):
            path = f"{directory}/{entry.name}"
            if entry.is_directory:
                below.append(path)
            else:
                sizes[path] = entry.size

    while directories:
        below: list[str] = []
        await threads.each(look, directories)
        directories = below
    return sizes


def _strangers(part: PartitionReport, rolls: Sequence[CommitRecord], found: dict[str, DataFile]) -> list[DataFile]:
    """The files of a partition that no record knows; those that may be newer than the records read don't count."""
    known = {file.target for roll in rolls for file in roll.files}
    end = rolls[-1].last if rolls else None
    strangers = [file for path, file in found.items() if path not in known and (end is None or file.first <= end)]
    part.problems += [Problem("foreign", file.path, "no commit record knows it") for file in strangers]
    return strangers


def _check_spans(part: PartitionReport, rolls: Sequence[CommitRecord], strangers: Sequence[DataFile]) -> None:
    """Finds gaps between rolls, and offsets that two of them claim; files without a record count as rolls."""
    claims = {(roll.first, roll.last) for roll in rolls} | {(file.first, file.last) for file in strangers}
    end: int | None = None
    for first, last in sorted(claims):
        if part.first is None:
            part.first = first
        elif end is not None and first > end:
            part.problems.append(Problem("gap", f"{end} to {first - 1}", "no roll has these offsets"))
        elif end is not None and first < end:
            part.problems.append(
                Problem("duplicate", f"{first} to {min(last, end - 1)}", "two rolls have these offsets")
            )
        end = max(end or 0, last + 1)
        part.last = end - 1


async def _check_files(
    part: PartitionReport,
    rolls: Sequence[CommitRecord],
    sizes: dict[str, int],
    storage: Storage,
    threads: Threads,
    deep: bool,
) -> None:
    for roll in rolls:
        for file in roll.files:
            if sizes.get(file.target) != file.bytes:
                part.problems += await threads.run(_look_for, storage, file, sizes.get(file.target))
        if deep:
            whole = [file.target for file in roll.files if sizes.get(file.target) == file.bytes]
            part.problems += await threads.run(check_rows, storage, roll, whole)


def _look_for(storage: Storage, file: CommittedFile, size: int | None) -> list[Problem]:
    """What is wrong with a committed file that was not there, or had another size, when data/ was listed."""
    if size is not None:
        return [Problem("size", file.target, f"{size} bytes, {file.bytes} were committed")]
    if storage.exists(file.source):
        return [Problem("unfinished", file.target, f"committed, but still in {file.source}")]
    if not storage.exists(file.target):  # it may have got there since
        return [Problem("missing", file.target, "committed, but neither in its place nor in its upload")]
    return []
