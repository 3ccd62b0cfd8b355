"""What the figures were made on and with: the machine and the versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from deploy.cluster.fetch import version as part_version
from deploy.cluster.programs import java, wrk

_PARTS = {"kafka": "Kafka", "hadoop": "Hadoop", "flume": "Flume", "kafka-streams": "Kafka Streams"}
_PACKAGES = ("faust-streaming", "aiokafka", "aiohttp", "uvloop", "orjson")


def versions() -> str:
    """One line. Raises: ProgramMissing."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = re.search(r"^MemTotal: *(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    parts = [
        f"{os.cpu_count()} threads of {model[1] if model else platform.machine()}",
        f"{int(memory[1]) / 1024**2:.0f} GB" if memory else "",
        f"Python {platform.python_version()}",
        *(f"{package} {version(package)}" for package in _PACKAGES),
        *(f"{name} {part_version(part)}" for part, name in _PARTS.items()),
        _first_line([java(), "-version"], r'version "([^"]+)"', "Java"),
        _first_line([wrk(), "-v"], r"wrk (\S+)", "wrk"),
    ]
    return ", ".join(filter(None, parts))


def _first_line(command: list[str], pattern: str, name: str) -> str:
    told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    found = re.search(pattern, told.stdout + told.stderr)
    return f"{name} {found[1]}" if found else name
