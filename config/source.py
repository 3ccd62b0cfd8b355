"""What every `[[source]]` table of the routes file has, whatever its kind."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from config.settings import Reliability
from config.toml_table import Table
from config.wording import quoted

__all__ = ["COMMON_KEYS", "SOURCE_KINDS", "SourceCommon", "SourceConfig", "SourceKind", "read_common"]

SourceKind = Literal["tail", "syslog", "thrift", "avro"]

SOURCE_KINDS: tuple[SourceKind, ...] = ("tail", "syslog", "thrift", "avro")
COMMON_KEYS = ("name", "kind", "headers", "override", "reliability")

_RELIABILITIES: tuple[Reliability, ...] = ("end-to-end", "store-on-failure", "best-effort")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN_NAMES = ("http",)  # the source that is always there, with no table


@dataclass(frozen=True, slots=True)
class SourceCommon:
    """What sources of all kinds are told. `headers` go to every event; those of the event win unless `override`.

    `reliability` None means what SLUICE_RELIABILITY says.
    """

    name: str
    headers: Mapping[str, str]
    override: bool
    reliability: Reliability | None


class SourceConfig(Protocol):
    """One checked `[[source]]` table; each kind has a frozen dataclass of its own with what only it is told."""

    @property
    def common(self) -> SourceCommon:
        """What sources of all kinds are told."""


def read_common(table: Table) -> SourceCommon | None:
    """The keys that all kinds share, or None after noting what is wrong with them."""
    name = _name(table)
    headers = _headers(table)
    override = table.values.get("override", False)
    if not isinstance(override, bool):
        table.wrong(f"must be true or false, not {quoted(override)}", "override")
        return None
    reliability = table.choice("reliability", _RELIABILITIES)
    if table.values.get("kind") == "tail" and "reliability" in table.values:
        table.wrong("a file is its own spool: its lines are read again until Kafka has them; remove it", "reliability")
        return None
    if name is None or headers is None or (reliability is None and "reliability" in table.values):
        return None
    return SourceCommon(name, headers, override, reliability)


def _name(table: Table) -> str | None:
    if not table.has("name"):
        return None
    name = table.text("name")
    if name is not None and not _SOURCE_NAME.fullmatch(name):
        table.wrong(f"{quoted(name)} is not 1 to 100 of A-Z a-z 0-9 . _ -, the first a letter or a digit", "name")
        return None
    if name in _TAKEN_NAMES:
        table.wrong(f"{quoted(name)} is the name of a source that is always there", "name")
        return None
    return name


def _headers(table: Table) -> Mapping[str, str] | None:
    if "headers" not in table.values:
        return {}
    headers = table.table("headers")
    if headers is None:
        return None
    texts = {name: headers.text(name) for name in headers.values}
    if "" in texts:
        table.wrong("has a header without a name", "headers")
        return None
    told = {name: text for name, text in texts.items() if text is not None}
    return told if len(told) == len(texts) else None
