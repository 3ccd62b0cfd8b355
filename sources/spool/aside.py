"""Where accepted events go that the brokers will never take: a file that a person can read."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from parsers.event import Event


class Refused(NamedTuple):
    """An event that was accepted at its time, and is larger than the brokers turned out to take."""

    source: str
    arrived_at_ms: int
    event: Event


def set_aside(path: Path, refused: Sequence[Refused]) -> None:
    """Append the events to a file, a JSON object a line, and sync it. Raises: OSError."""
    lines = [
        orjson.dumps(
            {
                "source": each.source,
                "arrived_at_ms": each.arrived_at_ms,
                "headers": each.event.headers,
                "body_base64": b64encode(each.event.body).decode(),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for each in refused
    ]
    with path.open("ab") as file:
        file.write(b"".join(lines))
        file.flush()
        os.fsync(file.fileno())
