"""`make run` and `make demo` as a person has them: on a terminal, with the commands that are on the screen."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.cluster.process import ProcessId, free_port
from deploy.embedded.broker import process_on
from tests.support.polling import wait_until
from tests.support.terminal import CTRL_C, ROOT, OnTerminal

pytestmark = pytest.mark.slow

UP = "Ctrl-C stops all of it."
READY_S = 90.0
STOP_S = 45.0


class MakeRun:
    """A place for `make run`, started as often as a test likes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.web_port, self.broker_port = free_port(), free_port()
        self.web = f"http://127.0.0.1:{self.web_port}"

    def start(self) -> OnTerminal:
        """`make run` on a terminal; the caller's Python is its .venv, and is taken to be installed."""
        return OnTerminal(
            *("make", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/installed-embedded", "run"),
            *(f"WEB_PORT={self.web_port}", f"BROKER_PORT={self.broker_port}", f"VAR_DIR={self.directory}"),
            SLUICE_HISTORY_ROLL_INTERVAL_S="1",
        )

    def get(self, path: str):
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(self.web + path, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def requests_counted(self) -> int:
        return sum(window["requests"] for window in self.get("/api/access")["windows"])

    def demo(self, *arguments: str) -> None:
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "deploy.demo", "--url", self.web, "--seed", "1"),
                *("--directory", str(self.directory / "tomcat"), *arguments),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    def access_lines(self) -> list[str]:
        logs = (self.directory / "tomcat").glob("*/logs/localhost_access_log.*.txt")
        return [line for log in logs for line in log.read_text().splitlines()]

    def wait_for_history(self, n_records: int) -> None:
        """Stopping, a worker commits what it has read; what it has not, the next one reads."""
        wait_until(lambda: len(self.history()) == n_records, 20, f"{n_records} records in the history")

    def history(self, of: str = "history") -> list[dict]:
        files = (self.directory / of / "data").rglob("*.jsonl.gz")
        return [json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[MakeRun]:
    run = MakeRun(tmp_path / "var")
    yield run
    # Of a test that failed the launcher may still be stopping: it lost its terminal.
    wait_until(lambda: process_on(run.directory / "broker") is None, STOP_S, "nothing is left running")


def curls(screen: str) -> list[str]:
    """The commands with curl as one would copy them, continued lines with what they continue."""
    return re.findall(r"^ +(curl (?:.*\\\n)*.*)$", screen, re.MULTILINE)


def shell(command: str) -> str:
    ran = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def pid_of(name: str, screen: str) -> int:
    found = re.search(rf"^  {name} .*?pid (\d+)", screen, re.MULTILINE)
    assert found is not None, screen
    return int(found[1])


def test_what_is_on_the_screen_works_and_ctrl_c_ends_all_of_it_well(place):
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        commands = curls(terminal.text)
        assert len(commands) == 4
        for command in commands:
            ran = shell(f"{command} -sS --noproxy '*'")
            assert "200 OK" in ran or "windows" in ran or "groups" in ran, ran
        (status,) = re.findall(r"^ +(.*faust -A app status)$", terminal.text, re.MULTILINE)
        # What workers say of themselves is two seconds old at most, so right after the start it may not be the newest.
        wait_until(lambda: "sluice-monitor" in shell(status), 10, "all is well", retry_on=AssertionError)
        place.demo("--events", "600", "--rate", "400")
        torn = sum(len(line) <= 30 for line in place.access_lines())
        expected = len(place.access_lines()) - torn + 1
        wait_until(lambda: place.requests_counted() == expected, 20, "all requests in windows")
        place.wait_for_history(602)
        pids = [pid_of("worker", terminal.text), pid_of("broker", terminal.text)]
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text
    assert [ProcessId.of(pid) for pid in pids] == [None, None]
    assert len(place.history()) == 602
    assert "Error" not in terminal.text

    with place.start() as terminal:  # and goes on with the same data
        terminal.wait_for(UP, READY_S)
        wait_until(lambda: place.requests_counted() == expected, 20, "the windows to be what they were")
        place.demo("--events", "10", "--rate", "100")
        place.wait_for_history(612)
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text
    assert len(place.history()) == 612


def test_what_the_readme_says_works_as_it_stands(place):
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    with_curl = [block for block in blocks if "curl" in block]
    (with_faust,) = [block for block in blocks if "faust -A app verify" in block]
    assert len(with_curl) == 5
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        place.demo("--events", "300", "--rate", "300")
        curl = """curl() { command curl -sS --fail --noproxy '*' "$@"; }; set -e\n"""
        for block in with_curl:
            shell(curl + block.replace("127.0.0.1:6066", f"127.0.0.1:{place.web_port}"))
        lines_of_file = sum(1 for line in (ROOT / "setup.cfg").read_text().splitlines() if line)
        place.wait_for_history(300 + 1 + lines_of_file + 2 + 1)
        settings = f"export SLUICE_BROKER=kafka://127.0.0.1:{place.broker_port} SLUICE_HISTORY=file://{place.directory}/history"
        path = f"export PATH={Path(sys.executable).parent}:$PATH"
        for command in with_faust.splitlines():
            shell(f"{settings}; {path}; {command}")
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text


def test_a_launcher_that_is_killed_leaves_nothing_running_and_loses_nothing(place):
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        place.demo("--events", "300", "--rate", "400")
        counted = len([line for line in place.access_lines() if len(line) > 30])
        wait_until(lambda: place.requests_counted() == counted, 20, "all requests in windows")
        pids = [pid_of("worker", terminal.text), pid_of("broker", terminal.text)]
        launcher = int((place.directory / "launcher.lock").read_text().split()[0])
        os.kill(launcher, signal.SIGKILL)
        wait_until(lambda: [ProcessId.of(pid) for pid in pids] == [None, None], 20, "worker and broker are gone")
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        wait_until(lambda: place.requests_counted() == counted, 20, "the windows to be what they were")
        place.wait_for_history(300)
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text
    assert len(place.history()) == 300


def test_when_the_broker_s_data_is_gone_a_new_history_begins_and_the_old_one_is_kept(place):
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        place.demo("--events", "200", "--rate", "400")
        place.wait_for_history(200)
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text
    shutil.rmtree(place.directory / "broker")
    with place.start() as terminal:
        terminal.wait_for(UP, READY_S)
        assert "set aside as" in terminal.text
        place.demo("--events", "30", "--rate", "400")
        place.wait_for_history(30)
        terminal.type(CTRL_C)
        assert terminal.status(STOP_S) == 0, terminal.text
    (aside,) = place.directory.glob("history.*")
    assert len(place.history(aside.name)) == 200
    assert len(place.history()) == 30
