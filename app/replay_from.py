"""Where a replay starts: what people write after `--from`, and the offsets that it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from app.brokers import Brokers
from app.errors import BadRequest

EARLIEST = "earliest"
_OFFSETS = re.compile(r"[0-9]{1,9}:[0-9]{1,18}(,[0-9]{1,9}:[0-9]{1,18})*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_EPOCH_S = re.compile(r"[0-9]{1,11}(\.[0-9]{1,6})?", re.ASCII)
_MS_FROM = 10**11  # epoch numbers from here on are milliseconds: as seconds they would be the year 5138


@dataclass(frozen=True, slots=True)
class Earliest:
    """From the first record that Kafka still has."""


@dataclass(frozen=True, slots=True)
class FromOffset:
    """From the same offset in every partition."""

    offset: int


@dataclass(frozen=True, slots=True)
class FromOffsets:
    """From the given offset in each of the given partitions; the others stay where they are."""

    offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class FromInstant:
    """From the first record that arrived at or after an instant."""

    at_ms: int


From = Earliest | FromOffset | FromOffsets | FromInstant


def parse(text: str, option: str = "--from") -> From:
    """Read `earliest`, an offset, `partition:offset,...`, `@epoch` or an ISO 8601 time (UTC where it names no zone).

    Raises BadRequest, one line that names the option.
    """
    text = text.strip()
    if text == EARLIEST:
        return Earliest()
    if _NUMBER.fullmatch(text):
        return FromOffset(int(text))
    if _OFFSETS.fullmatch(text):
        pairs = [pair.split(":") for pair in text.split(",")]
        offsets = {int(partition): int(offset) for partition, offset in pairs}
        if len(offsets) < len(pairs):
            raise BadRequest(f"{option} {text}: names a partition twice")
        return FromOffsets(offsets)
    if text.startswith("@"):
        number = text[1:]
        if _NUMBER.fullmatch(number) and int(number) >= _MS_FROM:
            return FromInstant(int(number))
        if _EPOCH_S.fullmatch(number):
            return FromInstant(round(float(number) * 1000))
    else:
        try:
            # Python 3.10 does not know `Z`.
            at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text))
            return FromInstant(round((at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() * 1000))
        except (ValueError, OverflowError):
            pass
    raise BadRequest(
        f"{option} {text[:80]!r}: must be `earliest`, an offset, `partition:offset,...`, "
        "a time such as 2026-01-31T12:00:00Z, or @ and epoch seconds"
    )


def instant_instead(start: From, ends: Mapping[int, int], now_ms: int) -> From:
    """The instant that a plain number means when it can't be an offset: beyond every end, and a time since 2000."""
    if not isinstance(start, FromOffset) or any(start.offset <= end for end in ends.values()):
        return start
    at_ms = start.offset if start.offset >= _MS_FROM else start.offset * 1000
    return FromInstant(at_ms) if 946_684_800_000 <= at_ms <= now_ms else start


async def offsets_of(
    start: From, brokers: Brokers, topic: str, begins: Mapping[int, int], only: Iterable[int] = ()
) -> dict[int, int]:
    """The offset of each partition that is meant, not yet fitted to what the log holds. Raises BadRequest for
    partitions that there are none of."""
    chosen = sorted(set(only)) or sorted(begins)
    if isinstance(start, FromOffsets):
        chosen = sorted(start.offsets) if not only else [p for p in chosen if p in start.offsets]
    unknown = [p for p in chosen if p not in begins]
    if unknown:
        raise BadRequest(f"partition {unknown[0]}: {topic} has partitions 0 to {max(begins)}")
    if isinstance(start, FromInstant):
        found = await brokers.offsets_at(topic, start.at_ms)
        return {p: found[p] for p in chosen}
    if isinstance(start, FromOffsets):
        return {p: start.offsets[p] for p in chosen}
    return {p: begins[p] if isinstance(start, Earliest) else start.offset for p in chosen}
