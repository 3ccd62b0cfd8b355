"""The event as it enters Sluice, before it is a Kafka record."""

from __future__ import annotations

from typing import NamedTuple


class Event(NamedTuple):
    """One log line (or multi-line record) and what came with it.

    `headers` are text; `body` is the bytes as they arrived (or their UTF-8, where the source speaks text).
    """

    headers: dict[str, str]
    body: bytes
