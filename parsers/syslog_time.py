"""Syslog's timestamps, to epoch milliseconds as text: RFC 3164's without a year, RFC 5424's."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone, tzinfo
from typing import Final

from parsers.timestamps import epoch_ms, month_number, zone_offset_s

# Timestamps of one second repeat: as many seconds are remembered, for so long, since the year guessed of one that has
# none changes with time.
_REMEMBERED: Final = 4096
_REMEMBERED_FOR_S: Final = 3600.0


class StampReader:
    """Reads timestamps; those without a zone are of `zone`, None being this machine's own."""

    def __init__(self, zone: tzinfo | None = None, now_s: Callable[[], float] = time.time) -> None:
        self._zone = zone
        self._now_s = now_s
        self._known: dict[bytes, int | None] = {}
        self._forget_at_s = 0.0

    def rfc3164(self, text: bytes) -> str | None:
        """Epoch ms of `Oct 11 22:14:15`; None where there is no such instant.

        The year is the latest one that puts it no more than a month ahead of now: a stamp of December that comes in
        January is last year's, one of January that comes in December (of a clock that is ahead) next year's.
        """
        known = self._cache()
        if text not in known:
            known[text] = self._without_year(text)
        ms = known[text]
        return None if ms is None else str(ms)

    def rfc5424(self, second: bytes, fraction: bytes | None, zone: bytes | None) -> str | None:
        """Epoch ms of `2003-10-11T22:14:15`, the digits after the point, and `Z` or `+hh:mm`; None where there is no
        such instant. Digits beyond milliseconds are cut off.
        """
        known = self._cache()
        key = second + zone if zone else second
        if key not in known:
            known[key] = self._with_year(second.decode(), zone.decode() if zone else None)
        ms = known[key]
        if ms is None:
            return None
        return str(ms + int((fraction + b"00")[:3])) if fraction else str(ms)

    def _cache(self) -> dict[bytes, int | None]:
        known = self._known
        now_s = self._now_s()
        if now_s >= self._forget_at_s or len(known) >= _REMEMBERED:
            known.clear()
            self._forget_at_s = now_s + _REMEMBERED_FOR_S
        return known

    def _with_year(self, second: str, zone: str | None) -> int | None:
        year, month, day = int(second[:4]), int(second[5:7]), int(second[8:10])
        hour, minute, seconds = int(second[11:13]), int(second[14:16]), int(second[17:19])
        try:
            if zone is None:
                return self._civil_ms(year, month, day, hour, minute, seconds)
            return epoch_ms(year, month, day, hour, minute, seconds, 0, zone_offset_s(zone))
        except (ValueError, OverflowError):
            return None

    def _without_year(self, text: bytes) -> int | None:
        words = text.decode().split()
        try:
            month = month_number(words[0])
        except ValueError:
            return None
        hour, minute, second = map(int, words[2].split(":"))
        now_s = self._now_s()
        this_year = datetime.fromtimestamp(now_s, timezone.utc).year
        for year in (this_year + 1, this_year, this_year - 1):
            try:
                ms = self._civil_ms(year, month, int(words[1]), hour, minute, second)
                month_before = self._month_before(year, month, int(words[1]), hour, minute, second)
            except (ValueError, OverflowError):  # not in this year: February 29
                continue
            if month_before <= now_s * 1000:
                return ms
        return None

    def _month_before(self, year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
        """Epoch ms of a month earlier, of that month's last day where it is shorter."""
        year, month = (year - 1, 12) if month == 1 else (year, month - 1)
        while True:
            try:
                return self._civil_ms(year, month, day, hour, minute, second)
            except ValueError:
                if day <= 28:
                    raise
                day -= 1

    def _civil_ms(self, year: int, month: int, day: int, hour: int, minute: int, second: int) -> int:
        """Epoch ms of a civil time in our zone; second 60 is a leap second. Raises: ValueError, OverflowError."""
        if second > 60:
            raise ValueError("no such second")
        # Without a tzinfo, datetime asks the operating system's local time, with its summer times.
        civil = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=self._zone)
        return int(civil.timestamp()) * 1000 + (1000 if second == 60 else 0)
