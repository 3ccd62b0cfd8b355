"""One `[[source]]` table of kind `syslog`."""

from __future__ import annotations

import re
import zoneinfo
from dataclasses import dataclass
from datetime import timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final

from config.listen import ListenAddress, read_listen
from config.source import COMMON_KEYS, SourceCommon, read_common
from config.tls_files import TLS_KEYS, read_tls_files
from config.toml_table import Table
from config.wording import did_you_mean, listed, quoted

_KEYS: Final = (
    *COMMON_KEYS,
    *("listen", *TLS_KEYS, "keep", "timezone"),
    *("max_message_bytes", "max_connections", "idle_timeout_s", "udp_queue_bytes"),
)
_KEEP: Final = ("none", "all", "priority", "version", "timestamp", "hostname")
_OFFSET: Final = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class SyslogSource:
    """Where syslog comes in, and how it is read.

    `cert` and `key` are there exactly when an address is tls. `zone` is of timestamps without one, None is this
    machine's. `keep` is what stays in the body of what stands before it: words of Flume's keepFields, or only `all`.
    """

    common: SourceCommon
    listen: tuple[ListenAddress, ...]
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None  # clients must show a certificate that this signed
    keep: frozenset[str] = frozenset()
    zone: tzinfo | None = None
    max_message_bytes: int = 65_536
    max_connections: int = 1_000
    idle_timeout_s: int | None = None
    udp_queue_bytes: int = 16_777_216


def read_syslog_source(table: Table) -> SyslogSource | None:
    """Read one table; None where it cannot be used, with all that is wrong noted."""
    table.allow(_KEYS)
    common = read_common(table)
    listen = read_listen(table)
    cert, key, client_ca = read_tls_files(table, listen)
    keep = _keep(table)
    zone = _zone(table)
    max_message_bytes = _count(table, "max_message_bytes", 65_536, 480, 16_777_216)
    max_connections = _count(table, "max_connections", 1_000, 1, 50_000)
    idle_timeout_s = _count(table, "idle_timeout_s", 0, 1, 604_800)
    udp_queue_bytes = _count(table, "udp_queue_bytes", 16_777_216, 131_072, 4_294_967_296)
    if common is None or listen is None:
        return None
    return SyslogSource(
        common,
        listen,
        cert,
        key,
        client_ca,
        keep,
        zone,
        max_message_bytes,
        max_connections,
        idle_timeout_s or None,
        udp_queue_bytes,
    )


def _keep(table: Table) -> frozenset[str]:
    """The words of `keep`, in one string as in Flume."""
    words = (table.text("keep") or "none").split()
    for word in words:
        if word not in _KEEP:
            table.wrong(f"{quoted(word)} is not {listed(_KEEP)}{did_you_mean(word, _KEEP)}", "keep")
        elif word in ("none", "all") and len(words) > 1:
            table.wrong(f"{quoted(word)} stands alone", "keep")
    return frozenset(words) - {"none"}


def _zone(table: Table) -> tzinfo | None:
    text = table.text("timezone")
    if text is None or text == "local":
        return None
    if text == "UTC":
        return timezone.utc
    offset = _OFFSET.fullmatch(text)
    if offset is not None:
        minutes = int(offset[2]) * 60 + int(offset[3])
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(text, zoneinfo.available_timezones())
        table.wrong(
            f"{quoted(text)} is not local, UTC, an offset as +01:00, or a zone that this machine knows{near}",
            "timezone",
        )
        return None


def _count(table: Table, key: str, default: int, least: int, most: int) -> int:
    value = table.values.get(key, default)
    if key in table.values and (not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most):
        table.wrong(f"{quoted(value)} is not a whole number from {least} to {most}", key)
        return default
    return int(value)
