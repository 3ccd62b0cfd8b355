"""Replay of the monitor group: sets the offsets of the stopped group back, which makes it rebuild its windows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from app.brokers import Position
from app.gaps import require_stopped
from app.replay_from import From, FromInstant, instant_instead, offsets_of
from app.shell import WELL, ShellCommand, table
from app.topics import RAW_LOG

# What the offset's metadata says to the lane that finds it on assignment: streaming/ reads these words.
REPLAY = "replay"
REPLAY_FORWARD = "replay forward"


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one partition; `new` is None where it stays as it is, and `why` says why or what was fitted."""

    partition: int
    old: int | None
    new: int | None
    records: int  # that will be read again
    why: str = ""


async def run(command: ShellCommand, start: From, options: Mapping[str, Any]) -> int:
    """Set the offsets, or only say so with `dry_run`. Raises GroupRunning with nothing changed."""
    brokers = command.services.brokers
    group = f"{command.services.settings.app_id}-monitor"
    await require_stopped(brokers, group)
    positions = await brokers.positions(group, RAW_LOG)
    start = instant_instead(start, {p: at.end for p, at in positions.items()}, int(time.time() * 1000))
    begins = {p: at.begin for p, at in positions.items()}
    wanted = await offsets_of(start, brokers, RAW_LOG, begins, options["partitions"])
    steps = plan(wanted, positions)
    changes = {step.partition: step.new for step in steps if step.new is not None}
    if changes and not options["dry_run"]:
        metadata = REPLAY_FORWARD if options["forward"] else REPLAY
        await brokers.set_offsets(group, RAW_LOG, changes, metadata)
    if command.as_json:
        command.show_json(_json(group, steps, options))
    else:
        command.show(_text(group, steps, start, options))
    return WELL


def plan(wanted: Mapping[int, int], positions: Mapping[int, Position]) -> list[Step]:
    """What a replay does: back to the wanted offset, fitted to what Kafka has, and never forward over unread records.

    The one way forward is out of a hole: where Kafka no longer has what the group would read next, to the log's start.
    """
    steps = []
    for partition, offset in wanted.items():
        at = positions[partition]
        new, why = offset, ""
        if new < at.begin:
            new, why = at.begin, f"Kafka has nothing before {at.begin}"
        elif new > at.end:
            new, why = at.end, f"Kafka has nothing from {at.end} on"
        if at.committed is None:
            unread, no_change = new > at.begin, "nothing committed yet: only the log's start can be set"
        elif at.committed < at.begin:
            unread, no_change = new > at.begin, f"{at.committed} to {at.begin - 1} are gone: only {at.begin} can be set"
            why = f"{at.committed} to {at.begin - 1} are gone from Kafka, unread"
        else:
            unread, no_change = new >= at.committed, "not read that far yet: nothing to replay"
        if unread:
            steps.append(Step(partition, at.committed, None, at.lag, no_change))
        else:
            steps.append(Step(partition, at.committed, new, at.end - new, why))
    return steps


def _text(group: str, steps: list[Step], start: From, options: Mapping[str, Any]) -> str:
    rows: list[list[object]] = [
        [step.partition, step.old, step.old if step.new is None else step.new, step.records, step.why] for step in steps
    ]
    lines = []
    if isinstance(start, FromInstant):
        at = datetime.fromtimestamp(start.at_ms / 1000, timezone.utc)
        lines.append(f"From what arrived at or after {at.isoformat(timespec='milliseconds').replace('+00:00', 'Z')}.")
    lines += [table(["PARTITION", "OLD OFFSET", "NEW OFFSET", "TO READ", ""], rows), ""]
    changed = [step for step in steps if step.new is not None]
    if not changed:
        return "\n".join([*lines, "Nothing to replay: no offset was changed."])
    records = sum(step.records for step in changed)
    lines.append("This was a dry run, nothing was changed." if options["dry_run"] else f"Offsets of {group} are set.")
    topics = (
        "The monitoring topics get these records again."
        if options["forward"]
        else "The monitoring topics get nothing again (--forward would)."
    )
    verb = "would read" if options["dry_run"] else "reads"
    lines.append(f"At its next start the group {verb} {records:,} records and rebuilds their windows. {topics}")
    return "\n".join(lines)


def _json(group: str, steps: list[Step], options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "group": group,
        "topic": RAW_LOG,
        "dry_run": options["dry_run"],
        "forward": options["forward"],
        "partitions": {
            str(step.partition): {
                "old": step.old,
                "new": step.old if step.new is None else step.new,
                "changed": step.new is not None,
                "to_read": step.records,
                "note": step.why,
            }
            for step in steps
        },
    }
