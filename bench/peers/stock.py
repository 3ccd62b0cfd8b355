"""A stock Faust agent doing the monitor's work, one event at a time: `stock_faust.py`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster.process import ServiceProcess
from tests.support.worker import ROOT


@contextmanager
def agent(directory: Path, broker_url: str) -> Iterator[ServiceProcess]:
    """The running worker."""
    directory.mkdir(parents=True, exist_ok=True)
    process = ServiceProcess(
        "stock Faust",
        [sys.executable, "-m", "faust", "-A", "bench.peers.stock_faust", "worker", "-l", "warn"],
        directory / "faust.log",
        cwd=directory,
        environment={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STOCK_BROKER": broker_url,
            "STOCK_DATA": str(directory / "data"),
        },
    )
    process.start()
    try:
        yield process
    finally:
        process.kill()  # it has nothing to keep
