"""The shell, as a person uses it: `faust -A app <command>` as a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.worker import ROOT

DEADLINE_S = 180.0


class Said(NamedTuple):
    """What a command answered."""

    status: int
    out: str
    err: str
    took_s: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands with the settings of a deployment. `settings` are environment variables."""

    def __init__(self, directory: Path, *, broker: str, settings: Mapping[str, object] | None = None) -> None:
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")},
            "PYTHONPATH": str(ROOT),
            "SLUICE_BROKER": broker,
            "SLUICE_DATA_DIR": str(directory / "data"),
            **{name: str(value) for name, value in (settings or {}).items()},
        }

    def __call__(self, *arguments: str) -> Said:
        """Run a command to its end, which must come within DEADLINE_S."""
        began = time.monotonic()
        done = subprocess.run(
            self._command(arguments),
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )
        took_s = time.monotonic() - began
        return Said(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"), took_s)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a command that the test ends by itself."""
        return subprocess.Popen(
            self._command(arguments),
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "faust", "-A", "app", *arguments]
