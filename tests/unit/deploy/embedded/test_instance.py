"""One launcher a directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.errors import AlreadyRunning
from deploy.embedded.instance import only_instance

ROOT = Path(__file__).parents[4]
HOLD = """
import sys, time
from pathlib import Path
from deploy.embedded.instance import only_instance
with only_instance(Path(sys.argv[1]), "http://127.0.0.1:7777"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_told_where_the_first_one_is(tmp_path):
    with only_instance(tmp_path, "http://127.0.0.1:6066"):
        with pytest.raises(AlreadyRunning) as refused, only_instance(tmp_path, "http://127.0.0.1:7000"):
            pass
        assert "http://127.0.0.1:6066" in str(refused.value)
        assert f"kill {os.getpid()}" in str(refused.value)
    with only_instance(tmp_path, "http://127.0.0.1:7000"):
        pass


def test_one_that_was_killed_holds_nothing(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(AlreadyRunning, match=f"pid {holder.pid}"), only_instance(tmp_path, "x"):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with only_instance(tmp_path, "x"):
        pass


def test_a_directory_is_made(tmp_path):
    with only_instance(tmp_path / "a" / "b", "x"):
        assert (tmp_path / "a" / "b").is_dir()
