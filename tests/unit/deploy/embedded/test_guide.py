"""The commands on the screen are run as they stand, with a curl that tells what it was given."""

from __future__ import annotations

import gzip
import subprocess
import time
from pathlib import Path

import pytest

from config.routes import load
from config.settings import SHIPPED_ROUTES
from deploy.embedded.guide import access_curl, guide, json_curl
from deploy.embedded.plan import Plan
from parsers.tomcat import compile_pattern, compile_patterns
from sources.http import Limits, decode

WEB = "http://127.0.0.1:6066"
LIMITS = Limits(body_bytes=1_000_000, events=100)
ROUTE = load(SHIPPED_ROUTES, check_pattern=compile_pattern).access_log


def curl_arguments(command: str, shell: str = "bash") -> list[str]:
    ran = subprocess.run(
        [shell, "-c", f"curl() {{ printf '%s\\0' \"$@\"; }}\n{command}"], capture_output=True, check=True
    )
    assert ran.stderr == b""
    return ran.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_access_line_is_of_this_moment_and_parses(shell):
    arguments = curl_arguments(access_curl(WEB), shell)
    assert arguments[:3] == ["-i", "-H", "Content-Type: text/plain"]
    body, address = arguments[4].encode(), arguments[5]
    assert address.startswith(f"{WEB}/logCollect2?")
    (event,) = decode("text/plain", None, address.partition("?")[2], body, LIMITS)
    assert event.headers == {"type": "access_log", "service": "shop", "host": "web-1"}
    record = compile_patterns(ROUTE.patterns, ROUTE.tomcat).parse(event.body)
    assert abs(record.ts - time.time() * 1000) < 60_000
    assert record.path == "/cart"


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_json_event_is_taken(shell):
    arguments = curl_arguments(json_curl(WEB), shell)
    assert arguments[-1] == f"{WEB}/logCollect2"
    # What `curl -d` calls it.
    (event,) = decode("application/x-www-form-urlencoded", None, "", arguments[2].encode(), LIMITS)
    assert event.headers == {"type": "catalina", "host": "web-1"}


def test_everything_that_differs_from_the_usual_is_in_the_commands(tmp_path):
    usual = guide(Plan(tmp_path, 6066, 9092, {}), broker_port=9092, broker_pid=1, worker_pid=2)
    assert "make demo\n" in usual
    assert "SLUICE_BROKER" not in usual
    other = guide(
        Plan(tmp_path, 7000, 9092, {"SLUICE_HISTORY": "webhdfs://h:9870/logs"}),
        broker_port=9393,
        broker_pid=1,
        worker_pid=2,
    )
    assert "make demo WEB_PORT=7000\n" in other
    assert "6066" not in other
    assert "SLUICE_BROKER=kafka://127.0.0.1:9393 " in other
    assert "webhdfs://h:9870/logs" in other


def test_the_history_command_shows_what_is_there(tmp_path: Path):
    text = guide(Plan(tmp_path, 6066, 9092, {}), broker_port=9092, broker_pid=1, worker_pid=2)
    command = next(line for line in text.splitlines() if line.strip().startswith("find "))
    hour = tmp_path / "history" / "data" / "type=x" / "dt=2026-11-21" / "hour=07"
    hour.mkdir(parents=True)
    (hour / "a.jsonl.gz").write_bytes(gzip.compress(b'{"body":"x"}\n'))
    assert subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout == b'{"body":"x"}\n'
