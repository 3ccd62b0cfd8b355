"""Instants as logs write them: Tomcat's %t, ISO 8601 and epoch numbers, all to epoch milliseconds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

# Epoch numbers: below 10^11 they are seconds (until the year 5138), from there on milliseconds (from March 1973).
_MILLISECONDS_FROM: Final = 100_000_000_000
_TOO_LARGE_FROM: Final = 100_000_000_000_000

_MONTHS: Final = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
# Java's and ISO 8601's offsets stay within 18 hours.
_MAX_OFFSET_S: Final = 18 * 3600

_CLF: Final = re.compile(
    r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-][0-9]{4})", re.ASCII
)
_ISO: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?"
    r" ?([Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_EPOCH: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")


def epoch_ms(
    year: int, month: int, day: int, hour: int, minute: int, second: int, millisecond: int, offset_s: int
) -> int:
    """Milliseconds since the epoch of a civil time `offset_s` east of UTC.

    Raises ValueError for a date or time that does not exist; second 60 is a leap second and counts on.
    """
    days = date(year, month, day).toordinal() - _EPOCH_DAY
    if hour > 23 or minute > 59 or second > 60 or abs(offset_s) > _MAX_OFFSET_S:
        raise ValueError("no such time of day or zone offset")
    return (days * 86_400 + hour * 3600 + minute * 60 + second - offset_s) * 1000 + millisecond


def month_number(name: str) -> int:
    """1 to 12 for an English month name or its abbreviation. Raises ValueError for any other word."""
    number = _MONTHS.get(name[:3].lower())
    if number is None:
        raise ValueError(f"no such month: {name[:20]!r}")
    return number


def zone_offset_s(text: str) -> int:
    """Seconds east of UTC for `Z`, `+hh`, `+hhmm` or `+hh:mm`. Raises ValueError where minutes exceed 59."""
    if text in ("Z", "z"):
        return 0
    digits = text[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or "0")
    if minutes > 59:
        raise ValueError(f"no such zone offset: {text!r}")
    seconds = hours * 3600 + minutes * 60
    return -seconds if text[0] == "-" else seconds


def clf_ms(text: str) -> int:
    """Epoch ms of `21/Nov/2026:06:12:20 +0100`, which is what %t writes between its brackets.

    Raises ValueError for anything else, and for an instant that does not exist.
    """
    match = _CLF.fullmatch(text)
    if match is None:
        raise ValueError(f"not a Tomcat timestamp: {text[:40]!r}")
    day, month, year, hour, minute, second, zone = match.groups()
    return epoch_ms(
        int(year), month_number(month), int(day), int(hour), int(minute), int(second), 0, zone_offset_s(zone)
    )


def iso8601_ms(text: str) -> int:
    """Epoch ms of `2026-11-21T06:12:20.123456Z` in ISO 8601's extended form; without a zone it is UTC.

    A blank may stand for the T, seconds and fraction may be missing, digits beyond milliseconds are cut off.
    Raises ValueError for anything else, and for an instant that does not exist.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"not an ISO 8601 timestamp: {text[:40]!r}")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    return epoch_ms(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second or "0"),
        int(((fraction or "") + "000")[:3]),
        zone_offset_s(zone or "Z"),
    )


def number_ms(value: int | float) -> int:
    """Epoch ms of a number that is epoch seconds or epoch milliseconds, told apart by magnitude.

    Raises ValueError for a negative number, one that is not finite, and one too large to be milliseconds (10^14, the
    year 5138: microseconds are not guessed at).
    """
    if not math.isfinite(value) or not 0 <= value < _TOO_LARGE_FROM:
        raise ValueError(f"not epoch seconds or milliseconds: {value!r}")
    if value < _MILLISECONDS_FROM:
        value = round(value * 1000, 1)  # 1.001 s is 1000.9999… ms before rounding
    return int(value)


def are_ms(values: Sequence[int]) -> bool:
    """Whether all are epoch milliseconds to `number_ms`."""
    return bool(values) and min(values) >= _MILLISECONDS_FROM and max(values) < _TOO_LARGE_FROM


def text_ms(text: str) -> int:
    """Epoch ms of text that is an epoch number or ISO 8601. Raises ValueError for anything else."""
    if _EPOCH.fullmatch(text):
        return number_ms(float(text) if "." in text else int(text))
    return iso8601_ms(text)


class StampCache:
    """Remembers what the newest few thousand timestamps mean: lines of one second repeat theirs.

    Bounded: full, it is emptied and fills again, which costs less than keeping the order of use.
    """

    LIMIT: Final = 4096

    def __init__(self, parse: Callable[[str], int]) -> None:
        self._parse = parse
        self.known: dict[str, int] = {}  # callers on the hot path look here first

    def __call__(self, text: str) -> int:
        """What `parse` says of the text. Raises whatever `parse` raises, and remembers no failure."""
        value = self.known.get(text)
        if value is None:
            value = self._parse(text)
            if len(self.known) >= self.LIMIT:
                self.known.clear()
            self.known[text] = value
        return value
