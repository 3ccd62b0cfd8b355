"""What of a worker's log is shown on the screen: its lifecycle and what went wrong, calmly."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_LINE = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d:\d\d),\d{3} ([A-Z]+) +([\w.]+): (.*)")
_LOUD = {"WARNING", "ERROR", "CRITICAL"}
# INFO of these says what the worker does as a whole; of others (partitions, rolls) the log file has it.
_LIFECYCLE = ("app.", "sources.")
_SERVICE = "[^"  # mode's own lines about each of its services
_LONGEST = 300
_READ_BYTES = 256 * 1024
_BURST_LINES, _BURST_S = 12, 5.0


class CalmLog:
    """Follows a worker's log file and picks the lines to show.

    At most 12 lines in 5 s; what is left out is counted and told. A log that grows faster than it is read is skipped
    to its end. Nothing that a logged line holds can do anything to a terminal.
    """

    def __init__(self, path: Path, start: int = 0, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._offset = start
        self._clock = clock
        self._rest = b""
        self._burst_began = -_BURST_S
        self._shown = 0
        self._left_out = 0
        self._in_loud = False

    def read(self) -> list[str]:
        """What is to be shown of the lines that were completed since the last call."""
        now = self._clock()
        told: list[str] = []
        if now - self._burst_began >= _BURST_S:
            self._burst_began, self._shown = now, 0
            if self._left_out:
                told.append(f"... {self._left_out} more lines in {self._path.name}")
                self._left_out = 0
        for line in self._worth_showing():
            if self._shown < _BURST_LINES:
                self._shown += 1
                told.append(line)
            else:
                self._left_out += 1
        return told

    def _worth_showing(self) -> Iterator[str]:
        for line in self._new_lines():
            found = _LINE.match(line)
            if found is None:  # the banner, or what follows a logged line: a traceback
                if self._in_loud and line.strip():
                    yield f"         {_printable(line)}"
                continue
            at, level, logger, message = found.groups()
            self._in_loud = level in _LOUD
            if self._in_loud:
                yield f"{at} {level}: {_printable(message)}"
            elif level == "INFO" and logger.startswith(_LIFECYCLE) and not message.startswith(_SERVICE):
                yield f"{at} {_printable(message)}"

    def _new_lines(self) -> list[str]:
        try:
            with self._path.open("rb") as log:
                behind = log.seek(0, 2) - self._offset
                if behind > _READ_BYTES:
                    self._offset += behind - _READ_BYTES
                    self._rest = b""
                log.seek(self._offset)
                read = log.read(_READ_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(read)
        *lines, self._rest = (self._rest + read).split(b"\n")
        self._rest = self._rest[-_READ_BYTES:]
        return [line.decode("utf-8", "replace") for line in lines]


def _printable(text: str) -> str:
    text = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else " " if c == "\t" else c.encode("unicode_escape").decode() for c in text)
