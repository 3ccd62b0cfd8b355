"""Times as Tomcat writes them: in local time, the months always in English."""

from __future__ import annotations

import time

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def access_log_time(at_s: float) -> str:
    """`[21/Nov/2026:07:30:00 +0100]`."""
    local = time.localtime(at_s)
    minutes = local.tm_gmtoff // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"
    return (
        f"[{local.tm_mday:02d}/{_MONTHS[local.tm_mon - 1]}/{local.tm_year}:{time.strftime('%H:%M:%S', local)} {zone}]"
    )


def catalina_time(at_s: float) -> str:
    """`21-Nov-2026 07:30:00.123`."""
    local = time.localtime(at_s)
    ms = int(at_s * 1000) % 1000
    return (
        f"{local.tm_mday:02d}-{_MONTHS[local.tm_mon - 1]}-{local.tm_year} {time.strftime('%H:%M:%S', local)}.{ms:03d}"
    )


def file_date(at_s: float) -> str:
    """`2026-11-21`, as in the name of an access log."""
    return time.strftime("%Y-%m-%d", time.localtime(at_s))
