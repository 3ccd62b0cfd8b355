"""A log's writer, and the ways in which logs are rotated; tail sources for tests, and a Kafka in memory."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from config.source import SourceCommon
from config.tail_source import TailSource
from parsers.event import Event
from sources.errors import BrokerUnavailable, Overloaded
from sources.tail.recall import Reached
from sources.tail.source import Tail
from telemetry.flow import Flow


class Writer:
    """Appends to one path as a program does that keeps its file open (`O_APPEND`) until it is told to open it anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = self._open()

    def write(self, data: bytes) -> None:
        """Append, unbuffered."""
        assert os.write(self._fd, data) == len(data)

    def reopen(self) -> None:
        """Go on in the file that the path leads to now."""
        os.close(self._fd)
        self._fd = self._open()

    def rename(self, to: Path, *, reopen: bool = True) -> None:
        """Rotate by renaming; without `reopen` later writes go to the renamed file."""
        self.path.rename(to)
        if reopen:
            self.reopen()

    def copy_and_truncate(self, to: Path) -> None:
        """Rotate as logrotate's `copytruncate` does."""
        to.write_bytes(self.path.read_bytes())
        os.truncate(self.path, 0)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)


class Topic:
    """What Kafka has, as one partition: a Publish that may fail before or after it has kept events, and its Recall."""

    def __init__(self, rng: random.Random | None = None, fails: float = 0.0) -> None:
        self.events: list[Event] = []
        self.rng = rng or random.Random(1)
        self.fails = fails
        self.sends = 0

    async def send(self, events: Sequence[Event]) -> None:
        """Keeps all, or fails: with nothing kept, or with a part."""
        self.sends += 1
        if self.rng.random() < self.fails:
            if self.rng.random() < 0.3:
                raise Overloaded("full")
            self.events += events[: self.rng.randrange(len(events) + 1)]
            raise BrokerUnavailable("away")
        self.events += events

    async def ends(self) -> dict[int, int]:
        """As Recall has it."""
        return {0: len(self.events)}

    async def newest(self, host: str, ids: Collection[str], since: Mapping[int, int]) -> dict[str, Reached]:
        """As Recall has it."""
        found: dict[str, Reached] = {}
        for event in self.events[since.get(0, 0) :]:
            id, end, *number = event.headers["tail"].split("/")
            if id in ids:
                found[id] = Reached(int(end), int(number[0]) if number else 0)
        return found

    async def close(self) -> None:
        """As Recall has it."""

    @property
    def bodies(self) -> list[bytes]:
        """The bodies, in order."""
        return [event.body for event in self.events]


async def end_as_killed(tail: Tail) -> None:
    """End a source as a SIGKILL of its process would: nothing more is sent, or saved once this returns."""
    tasks = (*tail._tasks, *tail._pumps.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    tail._watch.close()
    tail._positions.close()


def tail_config(*paths: Path | str, **options: Any) -> TailSource:
    """A table as the routes file's reader makes it; other keys than `headers` and `override` are TailSource's."""
    common = SourceCommon("logs", options.pop("headers", {"type": "t"}), options.pop("override", False), None)
    defaults = {
        "start": "beginning",
        "multiline": None,
        "quiet_s": 0.3,
        "rotated_s": 300.0,
        "max_open_files": 256,
        "import_positions": None,
    }
    return TailSource(common, tuple(str(path) for path in paths), **{**defaults, **options})


def new_tail(
    data_dir: Path,
    topic: Topic,
    config: TailSource,
    *,
    max_event_bytes: int = 1_000_000,
    clock: Callable[[], float] = time.monotonic,
) -> Tail:
    """A source on `topic`, not started."""
    return Tail(
        config,
        topic,
        Flow("logs", "source"),
        data_dir=data_dir,
        hostname="web-1",
        max_event_bytes=max_event_bytes,
        recall=topic,
        clock=clock,
    )
