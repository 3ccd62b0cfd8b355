"""The launcher with the real broker and a stand-in worker: what is started, watched, and stopped in which order."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deploy.cluster.process import free_port
from deploy.embedded import launcher
from deploy.embedded.broker import process_on
from deploy.embedded.launcher import Launcher
from deploy.embedded.plan import Plan
from deploy.embedded.ports import is_free
from deploy.embedded.signals import Signals
from sinks.history import layout
from sinks.history.record import CommitRecord

ROOT = Path(__file__).parents[4]

# Answers /ready with 200, and tells in its log how it was stopped and whether the broker was there then. Or never gets
# so far as to listen (`starts`), doesn't hear SIGTERM (`deaf`), or ends with an error (`fails`).
WORKER = """
import http.server, os, signal, socket, sys, threading, time

port, mode = int(sys.argv[1]), sys.argv[2]
broker = os.environ["SLUICE_BROKER"].rpartition(":")[2]

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

def stop(*_):
    if mode == "deaf":
        return
    with socket.create_connection(("127.0.0.1", int(broker))):
        print("drained while the broker was there", flush=True)
    os._exit(0)

signal.signal(signal.SIGTERM, stop)
if mode == "starts":
    time.sleep(600)
server = http.server.HTTPServer(("127.0.0.1", port), Ready)
print("2026-11-21 07:02:53,063 INFO    app.pipeline: Ready: stand-in", flush=True)
if mode == "fails":
    print("Sluice does not start:\\nSLUICE_X: no", flush=True)
    sys.exit(1)
server.serve_forever()
"""


class Run:
    """One run of a launcher in this thread, with somebody who acts when it says something."""

    def __init__(self, tmp_path: Path, **environment: str) -> None:
        self.script = tmp_path / "worker.py"
        self.script.write_text(WORKER)
        self.plan = Plan(
            directory=tmp_path / "var",
            web_port=free_port(),
            broker_port=free_port(),
            environment={**os.environ, **environment},
        )
        self.said: list[str] = []
        self.over = threading.Event()
        self._reactions: list[tuple[str, object, bool]] = []
        self._threads: list[threading.Thread] = []

    def when(self, text: str, act, *, before_it_goes_on: bool = False) -> Run:
        self._reactions.append((text, act, before_it_goes_on))
        return self

    def run(self, mode: str = "well") -> int:
        command = [sys.executable, str(self.script), str(self.plan.web_port), mode]
        with Signals() as signals:
            self.launcher = Launcher(self.plan, signals, worker_command=command, say=self._hear)
            try:
                status = self.launcher.run()
            finally:
                self.over.set()
                for thread in self._threads:  # whoever asks too late must not ask pytest
                    thread.join()
        assert is_free(self.plan.web_port)
        assert process_on(self.plan.broker_data) is None
        return status

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    def _hear(self, text: str) -> None:
        self.said.append(text)
        for expected, act, before_it_goes_on in self._reactions:
            if expected in text and before_it_goes_on:
                act()
            elif expected in text:
                self._threads.append(threading.Thread(target=act))
                self._threads[-1].start()


def tell_myself(number: signal.Signals):
    return lambda: os.kill(os.getpid(), number)


UP = "Ctrl-C stops all of it"
DRAINS = "finishes what it has"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_all_is_stopped_as_asked_the_worker_first(tmp_path, number):
    run = Run(tmp_path).when(UP, tell_myself(number))
    assert run.run() == 0
    assert f"{number.name}: stopping." in run.text
    assert "07:02:53 Ready: stand-in" in run.text
    assert "drained while the broker was there" in run.plan.worker_log.read_text()
    assert "Stopped." in run.said[-1]


def test_the_next_run_goes_on_with_the_same_data(tmp_path):
    first = Run(tmp_path).when(UP, tell_myself(signal.SIGTERM))
    assert first.run() == 0
    second = Run(tmp_path).when(UP, tell_myself(signal.SIGTERM))
    assert second.run() == 0
    assert (second.plan.broker_data / "kafka.json").exists() == (first.plan.broker_data / "kafka.json").exists()


def test_a_worker_that_does_not_start_is_quoted_and_the_broker_stopped(tmp_path):
    run = Run(tmp_path)
    assert run.run("fails") == 1
    assert "The worker ended by itself: exit status 1." in run.text
    assert "  | SLUICE_X: no" in run.text


def test_a_worker_that_dies_takes_the_broker_with_it(tmp_path):
    run = Run(tmp_path)
    run.when(UP, lambda: os.kill(run.launcher._worker.pid, signal.SIGKILL))
    assert run.run() == 1
    assert "The worker ended by itself: SIGKILL." in run.text


@pytest.mark.slow
def test_a_broker_that_dies_takes_the_worker_with_it(tmp_path):
    run = Run(tmp_path)
    run.when(UP, lambda: os.kill(run.launcher._broker.pid, signal.SIGKILL))
    assert run.run("deaf") == 1
    assert "The broker ended by itself: SIGKILL." in run.text
    assert "kafka          127.0.0.1" in run.text


@pytest.mark.slow
def test_who_asks_twice_does_not_have_to_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "WORKER_STOP_S", 1e9)
    run = Run(tmp_path).when(UP, tell_myself(signal.SIGINT))

    def ask_again() -> None:
        while "did not stop well" not in run.text and not run.over.wait(0.5):
            os.kill(os.getpid(), signal.SIGINT)

    run.when(DRAINS, ask_again)
    assert run.run("deaf") == 1
    assert "The worker did not stop well: SIGKILL." in run.text


@pytest.mark.parametrize("noticed_late", [False, True], ids=["noticed at once", "noticed late"])
def test_a_double_tap_is_one_wish(tmp_path, monkeypatch, noticed_late):
    if noticed_late:
        monkeypatch.setattr(launcher, "DOUBLE_TAP_S", 0.0)
    ask = tell_myself(signal.SIGINT)
    run = Run(tmp_path).when(UP, ask).when(DRAINS, ask, before_it_goes_on=True)
    assert run.run() == 0


def test_asked_before_all_is_up_it_stops_what_there_is(tmp_path):
    run = Run(tmp_path).when("Starting the worker", tell_myself(signal.SIGTERM))
    assert run.run("starts") == 0
    assert UP not in run.text


def test_a_taken_web_port_is_named_with_its_owner_and_nothing_is_started(tmp_path):
    run = Run(tmp_path)
    with socket.create_server(("127.0.0.1", run.plan.web_port)):
        launcher_said: list[str] = []
        with Signals() as signals:
            assert Launcher(run.plan, signals, say=launcher_said.append).run() == 1
    (said,) = launcher_said
    assert f"Port {run.plan.web_port}" in said
    assert f"(pid {os.getpid()})" in said
    assert "make run WEB_PORT=" in said
    assert not run.plan.broker_log.exists()


def test_a_taken_broker_port_is_named_and_another_one_used(tmp_path):
    run = Run(tmp_path).when(UP, tell_myself(signal.SIGTERM))
    with socket.create_server(("127.0.0.1", run.plan.broker_port)):
        assert run.run() == 0
    assert f"Port {run.plan.broker_port} is taken by " in run.text
    assert f"kafka://127.0.0.1:{run.plan.broker_port}" not in run.text


def test_a_second_launcher_is_refused_while_the_first_one_runs(tmp_path):
    run = Run(tmp_path)
    refused: list[str] = []

    def try_again() -> None:
        # Never gets so far as to need signals.
        status = Launcher(run.plan, signals=None, say=refused.append).run()
        refused.append(str(status))
        os.kill(os.getpid(), signal.SIGTERM)

    run.when(UP, try_again)
    assert run.run() == 0
    assert f"running here already: {run.plan.web} (pid {os.getpid()})" in refused[0]
    assert refused[1:] == ["1"]


def test_another_broker_in_the_environment_is_told_to_be_unused(tmp_path):
    run = Run(tmp_path, SLUICE_BROKER="kafka://elsewhere:9092").when(UP, tell_myself(signal.SIGTERM))
    assert run.run() == 0
    assert "SLUICE_BROKER is set" in run.text


def test_a_history_ahead_of_the_broker_is_set_aside_before_the_worker_starts(tmp_path):
    run = Run(tmp_path).when(UP, tell_myself(signal.SIGTERM))
    record = run.plan.directory / "history" / layout.commit_path("raw-log", 0, 0)
    record.parent.mkdir(parents=True)
    record.write_bytes(CommitRecord("raw-log", 0, 0, 0, 9, 10, "u", "w", False, ()).to_json())
    assert run.run() == 0
    assert "set aside as" in run.text
    assert run.text.index("set aside as") < run.text.index("Starting the worker")
    (aside,) = run.plan.directory.glob("history.*")
    assert (aside / "_sluice").is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
from deploy.embedded.launcher import Launcher
from deploy.embedded.plan import Plan
from deploy.embedded.signals import Signals

def die(text):
    if "Ctrl-C stops" in text:
        os.kill(os.getpid(), signal.SIGKILL)

plan = Plan(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), os.environ)
with Signals() as signals:
    Launcher(plan, signals, worker_command=[sys.executable, *sys.argv[4:]], say=die).run()
"""


def test_a_killed_launcher_leaves_nothing_that_keeps_the_next_one_from_starting(tmp_path):
    run = Run(tmp_path).when(UP, tell_myself(signal.SIGTERM))
    port = str(run.plan.web_port)
    killed = subprocess.run(
        [
            *(sys.executable, "-c", KILLED, str(run.plan.directory), port, str(run.plan.broker_port)),
            *(str(run.script), port, "well"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    give_up_at = time.monotonic() + 10
    while not is_free(run.plan.web_port):  # the worker is gone as soon as the kernel gets to it
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    assert run.run() == 0
