"""The embedded broker: noida-db, one binary that speaks Kafka's protocol; docs/decisions/0007 says what it can't do."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

from deploy.embedded.errors import BrokerMissing

_CONTROL = "noida.control.json"  # the broker's own: there while it runs, with its pid


def broker_command(data_dir: Path, port: int) -> list[str]:
    """The command that runs the broker in the foreground, without the package's Python wrapper around it.

    Raises BrokerMissing.
    """
    package = importlib.util.find_spec("noida_db")
    if package is None or not package.submodule_search_locations:
        raise BrokerMissing(
            "The embedded broker is not installed: run `make run`, or `pip install -e '.[embedded]'` by hand."
        )
    binary = Path(package.submodule_search_locations[0]) / "noida-db"
    if not binary.is_file():
        raise BrokerMissing(f"The embedded broker has no binary for this machine ({binary} is missing).")
    if not os.access(binary, os.X_OK):
        binary.chmod(0o755)  # some installers drop the mode
    return [str(binary), "start", "--data-dir", str(data_dir), "--only", "kafka", "--kafka-port", str(port)]


def process_on(data_dir: Path) -> int | None:
    """The pid of a broker that runs on this data already, or still; None where there is none."""
    try:
        pid = int(json.loads((data_dir / _CONTROL).read_text())["pid"])
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return pid if name == "noida-db" else None


def size_of(data_dir: Path) -> int:
    """Bytes of the broker's copy on disk, about four times what it holds in memory."""
    return sum(file.stat().st_size for file in data_dir.glob("*.json"))
