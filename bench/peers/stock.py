"""A stock Faust agent doing the monitor's work, one event at a time: `stock_faust.py`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploy.cluster.process import ServiceProcess
from tests.support.worker import ROOT

FORWARDED = "stock-forwarded"


def changelogs(directory: Path) -> list[str]:
    """The compacted topics of its tables. Where Faust makes them itself, an agent may be faster than the brokers."""
    return [f"{directory.name}-{table}-changelog" for table in ("requests", "bytes_sent", "orders")]


def agent(directory: Path, broker_url: str) -> ServiceProcess:
    """The worker, not started; its group is named as the directory."""
    return ServiceProcess(
        "stock Faust",
        [sys.executable, "-m", "faust", "-A", "bench.peers.stock_faust", "worker", "-l", "warn"],
        directory / "faust.log",
        cwd=directory,
        environment={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STOCK_ID": directory.name,
            "STOCK_BROKER": broker_url,
            "STOCK_DATA": str(directory / "data"),
        },
    )
