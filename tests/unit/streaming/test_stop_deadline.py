"""A stop that hangs ends all the same, in time, and says what it waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = """
import asyncio, logging, sys
from streaming.stop_deadline import StopDeadline

async def a_library_that_never_comes_back():
    StopDeadline(lambda: sys.argv[1:], within_s=0.3).begin()
    await asyncio.Event().wait()

logging.basicConfig()
asyncio.run(a_library_that_never_comes_back())
"""


@pytest.mark.parametrize(
    ("held", "status", "said"),
    [
        ([], 0, "everything was handed over"),
        (["sluice-monitor raw-log[2]"], 1, "not handed over: sluice-monitor raw-log[2]"),
    ],
)
def test_a_stop_that_hangs_is_ended_and_explained(held: list[str], status: int, said: str) -> None:
    began = time.monotonic()
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *held], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == status
    assert time.monotonic() - began > 0.3
    assert said in ended.stderr
    assert "a_library_that_never_comes_back" in ended.stderr
