"""What one `make run` is to start, and where: from the command line and the environment."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.ports import LOOPBACK

CHECKOUT = Path(__file__).parents[2]
WEB_PORT = 6066
BROKER_PORT = 9092


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything is below `directory`, which is absolute. `environment` is what the worker inherits."""

    directory: Path
    web_port: int
    broker_port: int  # the wanted one; another free one is taken where it is in use
    environment: Mapping[str, str]
    web_host: str = LOOPBACK

    @property
    def web(self) -> str:
        """The worker's address for people and for curl."""
        host = LOOPBACK if self.web_host in ("0.0.0.0", "::") else self.web_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.web_port}"

    @property
    def broker_data(self) -> Path:
        return self.directory / "broker"

    @property
    def broker_log(self) -> Path:
        return self.directory / "log" / "broker.log"

    @property
    def worker_log(self) -> Path:
        return self.directory / "log" / "worker.log"

    @property
    def history(self) -> str:
        """The worker's SLUICE_HISTORY: what the environment says, else below the directory."""
        return self.environment.get("SLUICE_HISTORY") or f"file://{self.directory / 'history'}"

    @property
    def local_history(self) -> Path | None:
        """The history's folder, None where it is not on this machine."""
        return CHECKOUT / self.history.removeprefix("file://") if self.history.startswith("file://") else None

    def worker_environment(self, broker_port: int) -> dict[str, str]:
        """What the worker gets: this broker, its folders below the directory unless the environment names others."""
        return {
            **self.environment,
            "PYTHONUNBUFFERED": "1",
            "SLUICE_BROKER": f"kafka://{LOOPBACK}:{broker_port}",
            "SLUICE_HISTORY": self.history,
            "SLUICE_DATA_DIR": self.environment.get("SLUICE_DATA_DIR") or str(self.directory / "worker"),
        }

    def worker_command(self) -> list[str]:
        """`faust -A app worker`, by the interpreter that runs this."""
        return [
            *(sys.executable, "-m", "faust", "-A", "app", "worker", "-l", "info"),
            *("--web-host", self.web_host, "--web-port", str(self.web_port)),
        ]


def shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    with contextlib.suppress(ValueError):
        path = path.relative_to(Path.cwd())
    return shlex.quote(str(path))


def faust_shown() -> str:
    """The `faust` command as a person in the checkout would type it."""
    beside = Path(sys.executable).with_name("faust")
    return shown(beside) if os.access(beside, os.X_OK) else "faust"
