"""Offsets that Kafka dropped before a group had read them: found, accepted so that it goes on behind them, shown."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiokafka import TopicPartition

from app.brokers import Brokers, Position
from app.errors import GroupRunning, OffsetsAhead, TopicMissing
from app.history import THREADS, writer_options
from app.reading import committed_ends, read
from app.topics import RAW_LOG, changelog_topic
from config.settings import Settings
from sinks.history.commit import CommitLog
from sinks.history.storage import Storage
from sinks.history.writer import PartitionWriter
from streaming.marker import MARKER, Marker, gaps
from streaming.marker import Gap as LeftOut
from tables.memory import MemoryStore

OURS = MARKER[:1]  # what a changelog keeps beside the windows begins so
_ACCEPTED = re.compile(r"gap accepted (\d+)-(\d+)")  # as Gap.metadata has it
NEWEST_RECORDS = 1000  # of a changelog: its newest transaction has the marker, unless many were aborted after it


@dataclass(frozen=True, slots=True)
class Gap:
    """A group's next offset in a partition, and the first that Kafka still has: those in between are gone."""

    partition: int
    next_offset: int
    begin: int

    @property
    def last(self) -> int:
        """The last offset that is gone."""
        return self.begin - 1

    @property
    def metadata(self) -> str:
        """What the group's offset says when the gap is accepted; streaming/exactly_once reads these words."""
        return f"gap accepted {self.next_offset}-{self.last}"


async def require_stopped(brokers: Brokers, group: str) -> None:
    """Raises GroupRunning while the group has members: its offsets are theirs to set."""
    found = await brokers.group(group)
    if found.running:
        hosts = ", ".join(sorted({member.host for member in found.members})) or "just joining"
        raise GroupRunning(
            f"group {group} is running ({len(found.members)} members: {hosts}): stop its workers first; "
            "after a crash Kafka takes up to the session timeout to notice"
        )


async def monitor_positions(brokers: Brokers, app_id: str, positions: Mapping[int, Position]) -> dict[int, int]:
    """The offset that `<id>-monitor` reads next, for each partition that it has begun. Raises BrokersUnavailable.

    A group's offsets expire some days after its last worker; the changelog's marker does not.
    """
    found = {}
    for partition, at in positions.items():
        known = [at.committed]
        if at.committed is None or at.committed < at.begin:
            known.append(await _applied(brokers, changelog_topic(app_id), partition))
        following = max((offset for offset in known if offset is not None), default=None)
        if following is not None:
            found[partition] = following
    return found


async def history_positions(storage: Storage, positions: Mapping[int, Position]) -> dict[int, int]:
    """The offset that `<id>-history` reads next, for each partition that it has begun. Raises the storage's errors."""
    found = {}
    for partition, at in positions.items():
        newest = await asyncio.to_thread(CommitLog(storage, RAW_LOG, partition).newest)
        following = at.committed if newest is None else newest.last + 1
        if following is not None:
            found[partition] = following
    return found


def gaps_of(following: Mapping[int, int], positions: Mapping[int, Position]) -> list[Gap]:
    """Where a group would read next before Kafka begins."""
    return [Gap(p, offset, positions[p].begin) for p, offset in following.items() if offset < positions[p].begin]


def require_not_ahead(group: str, following: Mapping[int, int], positions: Mapping[int, Position]) -> None:
    """Raises OffsetsAhead where a group would read next behind Kafka's end: that is no gap, and nothing to accept."""
    for partition, offset in following.items():
        if offset > positions[partition].end:
            raise OffsetsAhead(
                f"{RAW_LOG}[{partition}]: {group} goes on at offset {offset}, and Kafka ends at "
                f"{positions[partition].end - 1}: the topic was made anew or lost its end, or the history is another "
                "cluster's; this is no gap, nothing was accepted"
            )


async def accept_in_history(storage: Storage, settings: Settings, gap: Gap, why: str) -> None:
    """Commit that the gap's offsets will never be in the history; a roll that somebody broke off is completed first.

    May be done again: what is on record already is left. Raises the storage's errors, RollAlreadyExists.
    """
    data_dir: Path = settings.data_dir
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="accept-gap-", dir=data_dir) as buffer_dir,  # not where a worker has its buffers
        ThreadPoolExecutor(THREADS, thread_name_prefix="accept-gap") as executor,
    ):
        options = writer_options(settings, Path(buffer_dir))
        writer = PartitionWriter(RAW_LOG, gap.partition, storage, options, executor, time.monotonic)
        await writer.recover()
        await writer.accept_loss(gap.begin, why, first=gap.next_offset)


async def left_out_by_monitor(
    brokers: Brokers, app_id: str, most_records: int | None = None
) -> dict[int, list[LeftOut]] | None:
    """Offsets that are in no window and no monitoring topic for good, by partition: accepted gaps, and skipped ones.

    A gap that was just accepted, and that no worker has come by yet, is among them. Reads the whole changelog: a second
    for some 300,000 records. None where it has more than `most_records`. Raises BrokersUnavailable.
    """
    changelog = changelog_topic(app_id)
    try:
        begins, ends = await brokers.beginnings(changelog), await committed_ends(brokers, changelog)
    except TopicMissing:
        return {}
    stretches = {TopicPartition(changelog, p): (begins.get(p, end), end) for p, end in ends.items()}
    if most_records is not None and sum(end - begin for begin, end in stretches.values()) > most_records:
        return None
    kept = {partition: MemoryStore() for partition in ends}
    async for tp, records in read(brokers, stretches):
        ours = {record.key: record.value for record in records if record.key and record.key.startswith(OURS)}
        kept[tp.partition].write(ours)
    found = {partition: gaps(store) for partition, store in kept.items()}
    for partition, at in (await brokers.committed(f"{app_id}-monitor", RAW_LOG)).items():
        waiting = _ACCEPTED.fullmatch(at.metadata)  # until the partition's next start
        if waiting is not None:
            found.setdefault(partition, []).append(LeftOut(int(waiting[1]), int(waiting[2]), at.metadata))
    return {partition: found[partition] for partition in sorted(found) if found[partition]}


def left_out_json(found: Mapping[int, Sequence[LeftOut]]) -> dict[str, list[dict[str, Any]]]:
    """The same by partition, as JSON values."""
    return {str(partition): [each._asdict() for each in left_out] for partition, left_out in found.items()}


def left_out_lines(group: str, found: Mapping[int, Sequence[LeftOut]]) -> list[str]:
    """The same for people, a line each."""
    return [
        f"{RAW_LOG}[{partition}] accepted gap of {group}: {each.first} to {each.last}: "
        f"in no window and no monitoring topic ({each.said or 'the offset was set without a word'})"
        for partition, left_out in found.items()
        for each in left_out
    ]


async def _applied(brokers: Brokers, changelog: str, partition: int) -> int | None:
    """The next offset by the newest marker of a changelog partition; None where nothing was ever worked on."""
    tp = TopicPartition(changelog, partition)
    try:
        begins, ends = await brokers.beginnings(changelog), await committed_ends(brokers, changelog)
    except TopicMissing:
        return None
    begin, end = begins.get(partition, 0), ends.get(partition, 0)
    for start in (max(begin, end - NEWEST_RECORDS), begin):
        marker: bytes | None = None
        async for _, records in read(brokers, {tp: (start, end)}):
            for record in records:
                marker = record.value if record.key == MARKER else marker
        if marker is not None:
            return Marker.decode(marker).applied
    return None
