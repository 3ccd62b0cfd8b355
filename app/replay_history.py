"""Replay of the history: raw-log written once more, into another root, in the foreground."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from app.brokers import Position
from app.errors import BadRequest, RecordsGone, RootInUse
from app.history import THREADS, open_storage, writer_options
from app.reading import committed_ends, read
from app.replay_from import Earliest, From, instant_instead, offsets_of, parse
from app.replay_plan import ReplayPlan, found_plan, keep_plan, same_place
from app.shell import NOT_WELL, WELL, ShellCommand, table
from app.topics import RAW_LOG
from config.addresses import history_location
from sinks.errors import SinkError
from sinks.history.errors import BufferFull
from sinks.history.storage import Storage
from sinks.history.writer import PartitionWriter

PROGRESS_EVERY_S = 2.0
RETRY_EVERY_S = 2.0
GIVE_UP_AFTER_S = 60.0  # with the storage away for longer, whoever started this should know


@dataclass(slots=True)
class Progress:
    """One partition of a replay, while it runs and when it is done."""

    partition: int
    first: int
    end: int
    begun_at: int  # where this run began: further than `first` when it continues another
    position: int
    records: int = 0  # written by this run


async def run(command: ShellCommand, start: From, options: Mapping[str, Any]) -> int:
    """Write the records, or only say what would be with `dry_run`.

    Interrupted or failed at any point, the same call goes on behind the last committed roll. Raises BadRequest,
    RootInUse, RecordsGone, BrokersUnavailable.
    """
    settings = command.services.settings
    if options["into"] is None:
        raise BadRequest("--group history needs --into: the history has each record once, a replay gets its own root")
    try:
        into = history_location(options["into"])
    except ValueError as exc:
        raise BadRequest(f"--into {options['into']}: {exc}") from exc
    if same_place(into, settings.history):
        raise RootInUse(f"--into {into} and SLUICE_HISTORY={settings.history} must not lie within one another")
    storage = open_storage(into)
    try:
        return await _replay(command, storage, str(into), start, options)
    except SinkError as exc:
        command.fail(f"{into}: {exc} (run the same command again to go on)")
        return NOT_WELL
    finally:
        await asyncio.to_thread(storage.close)


async def _replay(command: ShellCommand, storage: Storage, root: str, start: From, options: Mapping[str, Any]) -> int:
    asked = _asked(command, options)
    plan = await asyncio.to_thread(found_plan, storage, root, asked)
    continued = plan is not None
    if plan is None:
        plan = ReplayPlan(RAW_LOG, asked, await _stretches(command, start, options))
        if not options["dry_run"]:
            await asyncio.to_thread(keep_plan, storage, root, plan)
    if options["dry_run"]:
        parts = [Progress(p, first, end, first, first) for p, (first, end) in plan.stretches.items()]
        _show(command, root, parts, options, continued=continued)
        return WELL
    data_dir: Path = command.services.settings.data_dir
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix="replay-", dir=data_dir) as buffer_dir,
        ThreadPoolExecutor(THREADS, thread_name_prefix="replay") as executor,
    ):
        parts = await _write(command, storage, plan, Path(buffer_dir), executor)
    _show(command, root, parts, options, continued=continued)
    return WELL


async def _stretches(command: ShellCommand, start: From, options: Mapping[str, Any]) -> dict[int, tuple[int, int]]:
    brokers = command.services.brokers
    begins, ends = await brokers.beginnings(RAW_LOG), await committed_ends(brokers, RAW_LOG)
    now_ms = int(time.time() * 1000)
    wanted = await offsets_of(instant_instead(start, ends, now_ms), brokers, RAW_LOG, begins, options["partitions"])
    until = ends
    if options["end"] is not None:
        end = parse(options["end"], "--to")
        if isinstance(end, Earliest):
            raise BadRequest("--to earliest: there is nothing before it")
        until = ends | await offsets_of(instant_instead(end, ends, now_ms), brokers, RAW_LOG, begins, wanted)
    stretches = {}
    for partition, offset in wanted.items():
        if offset < begins[partition]:
            command.fail(f"partition {partition}: Kafka has nothing before {begins[partition]}, starting there")
        first = max(offset, begins[partition])
        stretches[partition] = (first, max(first, min(until[partition], ends[partition])))
    return stretches


def _asked(command: ShellCommand, options: Mapping[str, Any]) -> str:
    settings = command.services.settings
    parts = [f"--from {options['start']}"]
    parts += [f"--to {options['end']}"] if options["end"] is not None else []
    parts += [f"--partition {p}" for p in sorted(set(options["partitions"]))]
    return " ".join([*parts, f"as {settings.history_format}, {settings.history_compression}"])


async def _write(
    command: ShellCommand, storage: Storage, plan: ReplayPlan, buffer_dir: Path, executor: ThreadPoolExecutor
) -> list[Progress]:
    settings = command.services.settings
    options = writer_options(settings, buffer_dir)
    positions = await command.services.brokers.positions(f"{settings.app_id}-history", RAW_LOG)
    parts = [Progress(p, first, end, first, first) for p, (first, end) in plan.stretches.items()]
    writers = [PartitionWriter(RAW_LOG, part.partition, storage, options, executor, time.monotonic) for part in parts]
    writing = [
        asyncio.ensure_future(_write_partition(command, part, writer, positions[part.partition]))
        for part, writer in zip(parts, writers, strict=True)
    ]
    telling = asyncio.ensure_future(_tell_progress(command, parts))
    try:
        await asyncio.gather(*writing)
    except asyncio.CancelledError:
        command.fail("interrupted: run the same command again to go on")
        raise
    finally:
        for task in (*writing, telling):
            task.cancel()
        await asyncio.gather(*writing, telling, return_exceptions=True)
        for writer in writers:
            await writer.discard()  # what is not committed by now is read again by the next run
    return parts


async def _write_partition(command: ShellCommand, part: Progress, writer: PartitionWriter, kafka: Position) -> None:
    written = await _patiently(command, writer.recover)
    part.begun_at = part.position = part.first if written is None else max(part.first, written)
    if part.position >= part.end:
        return
    if part.position < kafka.begin:
        raise RecordsGone(
            f"{RAW_LOG}[{part.partition}]: offsets {part.position} to {kafka.begin - 1} are gone from Kafka since the "
            "replay began; what is written is right, to have the rest begin another one"
        )
    stretch = {TopicPartition(RAW_LOG, part.partition): (part.position, part.end)}
    async for _, records in read(command.services.brokers, stretch, max_partition_fetch_bytes=4 << 20):
        await _append(command, writer, records)
        part.records += len(records)
        part.position = records[-1].offset + 1
        if writer.roll_due():
            await _patiently(command, writer.commit)
    await _patiently(command, writer.commit)
    part.position = part.end


async def _append(command: ShellCommand, writer: PartitionWriter, records: Sequence[ConsumerRecord]) -> None:
    try:
        await writer.append(records)
    except BufferFull:
        await _patiently(command, writer.commit)
        await writer.append(records)


async def _patiently(command: ShellCommand, step: Any) -> Any:
    """Do a writer's step again while the storage is away, for GIVE_UP_AFTER_S. Raises SinkError."""
    began = time.monotonic()
    while True:
        try:
            return await step()
        except SinkError as exc:
            if not exc.retriable or time.monotonic() - began > GIVE_UP_AFTER_S:
                raise
            command.fail(f"{exc}: trying again in {RETRY_EVERY_S:g} s")
        await asyncio.sleep(RETRY_EVERY_S)


async def _tell_progress(command: ShellCommand, parts: Sequence[Progress]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(PROGRESS_EVERY_S)
        records = sum(part.records for part in parts)
        left = sum(part.end - part.position for part in parts)
        per_s = records / (time.monotonic() - began)
        command.fail(f"{records:,} records written, {left:,} offsets to go, {per_s:,.0f} records/s")


def _show(
    command: ShellCommand, root: str, parts: Sequence[Progress], options: Mapping[str, Any], *, continued: bool
) -> None:
    if command.as_json:
        command.show_json(
            {
                "group": f"{command.services.settings.app_id}-history",
                "topic": RAW_LOG,
                "into": root,
                "dry_run": options["dry_run"],
                "continued": continued,
                "partitions": {
                    str(part.partition): {
                        "first": part.first,
                        "end": part.end,
                        "begun_at": part.begun_at,
                        "records": part.records,
                    }
                    for part in parts
                },
            }
        )
        return
    rows = [[part.partition, part.first, part.end, part.begun_at, part.records] for part in parts]
    command.show(table(["PARTITION", "FIRST", "END", "THIS RUN FROM", "RECORDS"], rows))
    command.show()
    offsets = sum(part.end - part.first for part in parts)
    if options["dry_run"]:
        command.show(f"This was a dry run: {offsets:,} offsets would be written into {root}.")
    else:
        records = sum(part.records for part in parts)
        command.show(f"{records:,} records written by this run; {root} has all {offsets:,} offsets.")
