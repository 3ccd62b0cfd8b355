"""`verify`: reads the history, holds it against itself and against Kafka, and says what is missing or twice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from faust.cli import option

from app.brokers import Position
from app.gaps import left_out_by_monitor, left_out_json, left_out_lines
from app.history import open_storage
from app.services import Services
from app.shell import NOT_WELL, WELL, ShellCommand, escaped, json_option, table
from app.topics import RAW_LOG
from sinks.errors import SinkError
from sinks.history.report import AcceptedLoss, PartitionReport, Problem, VerifyReport
from sinks.history.verify import verify as verify_history

PROBLEMS_SHOWN = 100
GONE = "gone from Kafka before they were written: see `faust -A app accept-gap --help`"


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class verify(ShellCommand):
        """Read the history: gaps, duplicates, unfinished commits, files that are not as they were committed, and
        records that Kafka no longer has and the history never got. Tells of the gaps that were accepted, the
        monitor's too. Changes nothing; workers may run meanwhile.

        Exit status: 0 every offset is there once, 1 not, or the history can't be read, 3 no broker answers.
        """

        options = [  # noqa: RUF012
            option("--deep", is_flag=True, help="Read every data file, and check its rows against the offsets."),
            json_option,
        ]

        async def answer(self, **options: Any) -> int:
            settings, brokers = self.services.settings, self.services.brokers
            # Before the history: what was committed to Kafka by now was written by now.
            positions = await brokers.positions(f"{settings.app_id}-history", RAW_LOG)
            storage = open_storage(settings.history)
            try:
                report = await verify_history(storage, RAW_LOG, deep=options["deep"])
            except SinkError as exc:
                self.fail(f"{settings.history}: {exc}")
                return NOT_WELL
            finally:
                await asyncio.to_thread(storage.close)
            # After it: what was written by now was in Kafka by now.
            compared = compare(report, positions, await brokers.ends(RAW_LOG))
            monitor = f"{settings.app_id}-monitor"
            left_out = await left_out_by_monitor(brokers, settings.app_id) or {}
            well = report.well and not any(compared.values())
            if self.as_json:
                said = _json(report, positions, compared, well=well)
                self.show_json({**said, "left_out": {monitor: left_out_json(left_out)}})
            else:
                gaps = left_out_lines(monitor, left_out)
                self.show(_text(report, positions, compared, str(settings.history), gaps, well=well))
            return WELL if well else NOT_WELL

    verify.services = services


def compare(
    report: VerifyReport, positions: Mapping[int, Position], ends: Mapping[int, int]
) -> dict[int, list[Problem]]:
    """What the history and Kafka disagree about, by partition; every partition of either is in it."""
    parts = {part.partition: part for part in report.partitions}
    return {
        partition: _compare_partition(parts.get(partition), positions.get(partition), ends.get(partition, 0))
        for partition in sorted({*parts, *positions})
    }


def _compare_partition(part: PartitionReport | None, at: Position | None, end: int) -> list[Problem]:
    if at is None:
        return [Problem("foreign", "the whole partition", "Kafka has no such partition")]
    if part is None or part.first is None or part.last is None:
        if at.committed is not None and at.committed > at.begin:
            span = f"{at.begin} to {at.committed - 1}"
            return [Problem("gap", span, "the group has committed them, and this history has nothing of them")]
        if at.committed is not None and at.committed < at.begin:
            return [Problem("gap", f"{at.committed} to {at.begin - 1}", GONE)]
        return []
    following = part.last + 1
    problems = []
    if at.begin < part.first:
        problems.append(Problem("gap", f"{at.begin} to {part.first - 1}", "Kafka has them, and the history does not"))
    if following < at.begin:
        span = f"{following} to {at.begin - 1}"
        problems.append(Problem("gap", span, GONE))
    if following > end:
        text = f"Kafka ends at {end - 1}: the topic was created anew, or this is another cluster's history"
        problems.append(Problem("foreign", f"{end} to {part.last}", text))
    if at.committed is not None and at.committed > following:
        text = "the group has committed them, and the history does not have them"
        problems.append(Problem("gap", f"{following} to {at.committed - 1}", text))
    return problems


def _unwritten(part: PartitionReport | None, at: Position | None) -> int:
    if at is None:
        return 0
    return max(0, at.end - (at.begin if part is None or part.last is None else part.last + 1))


def _json(
    report: VerifyReport, positions: Mapping[int, Position], compared: Mapping[int, Sequence[Problem]], *, well: bool
) -> dict[str, Any]:
    parts = {part.partition: part for part in report.partitions}
    partitions = []
    for partition, problems in compared.items():
        part, at = parts.get(partition), positions.get(partition)
        said = (part or PartitionReport(RAW_LOG, partition)).to_json()
        said["problems"] += [problem._asdict() for problem in problems]
        said["well"] = not said["problems"]
        said["kafka"] = None if at is None else {"begin": at.begin, "end": at.end, "committed": at.committed}
        said["unwritten"] = _unwritten(part, at)
        partitions.append(said)
    return {"well": well, "partitions": partitions, "foreign": report.foreign}


def _text(
    report: VerifyReport,
    positions: Mapping[int, Position],
    compared: Mapping[int, Sequence[Problem]],
    root: str,
    gaps: Sequence[str],
    *,
    well: bool,
) -> str:
    parts = {part.partition: part for part in report.partitions}
    rows = []
    found = []
    for partition, problems in compared.items():
        part = parts.get(partition) or PartitionReport(RAW_LOG, partition)
        problems = [*part.problems, *problems]
        unwritten = _unwritten(parts.get(partition), positions.get(partition))
        counts = [part.rolls, part.files, part.rows, part.holes, part.bytes]
        rows.append([partition, part.first, part.last, *counts, unwritten, len(problems)])
        found += [f"{RAW_LOG}[{partition}] {problem.kind}: {problem.where}: {problem.text}" for problem in problems]
        found += [f"{RAW_LOG}[{partition}] accepted gap: {_loss(loss)}" for loss in part.lost]
    found += [f"foreign: {path}: its name is none of ours" for path in report.foreign]
    headers = ["PARTITION", "FIRST", "LAST", "ROLLS", "FILES", "ROWS", "HOLES", "BYTES", "NOT YET WRITTEN", "PROBLEMS"]
    found += gaps
    lines = [table(headers, rows), ""]
    lines += [escaped(line) for line in found[:PROBLEMS_SHOWN]]
    if len(found) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found) - PROBLEMS_SHOWN:,} more (--json has all)")
    total = sum(part.rows for part in report.partitions)
    lost = sum(loss.last - loss.first + 1 for part in report.partitions for loss in part.lost)
    but = f" but the {lost:,} whose loss was accepted" if lost else ""
    lines.append(
        f"{escaped(root)}: {total:,} records, every offset once{but}."
        if well
        else f"{escaped(root)}: not as it should be."
    )
    return "\n".join(lines)


def _loss(loss: AcceptedLoss) -> str:
    at = datetime.fromtimestamp(loss.accepted_at_ms / 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{loss.first} to {loss.last}: lost, as accepted at {at}: {loss.why}"
