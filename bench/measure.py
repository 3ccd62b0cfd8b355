"""What processes used: CPU seconds and peak memory, read from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_TICKS = os.sysconf("SC_CLK_TCK")


class Program(Protocol):
    """What is measured: one process, threads and all."""

    @property
    def running(self) -> bool: ...
    @property
    def pid(self) -> int: ...


@dataclass(frozen=True)
class Usage:
    """CPU seconds since the processes began, together, and the peak resident memory of the largest, in MB."""

    cpu_s: float
    peak_mb: float


def usage(programs: Iterable[Program]) -> Usage:
    """What living processes have used so far."""
    each = [_usage(program.pid) for program in programs]
    return Usage(sum(one.cpu_s for one in each), max(one.peak_mb for one in each))


def _usage(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return Usage((int(fields[11]) + int(fields[12])) / _TICKS, int(status["VmHWM"].split()[0]) / 1024)
