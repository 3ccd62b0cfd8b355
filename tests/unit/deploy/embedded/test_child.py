"""A child process: its log, its end, and that it does not outlive its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster.process import ProcessId
from deploy.embedded.child import Child

ROOT = Path(__file__).parents[4]
WAIT = "import time; print('up', flush=True); time.sleep(60)"


def child(tmp_path: Path, code: str, when_orphaned: signal.Signals = signal.SIGKILL) -> Child:
    return Child(
        "it",
        [sys.executable, "-c", code],
        tmp_path / "log" / "it.log",
        cwd=tmp_path,
        environment=os.environ,
        when_orphaned=when_orphaned,
    )


def wait_until(condition, deadline_s: float = 10.0) -> None:
    give_up_at = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


@pytest.fixture
def started(tmp_path) -> Iterator:
    made = []

    def start(code: str) -> Child:
        made.append(child(tmp_path, code))
        made[-1].start()
        return made[-1]

    yield start
    for each in made:
        each.kill()


def test_the_log_of_this_run_is_quoted_and_the_end_put_into_words(started):
    first = started("print('of the first run')")
    wait_until(lambda: not first.running)
    second = started("import sys; print('one\\n\\x1b[2Jtwo'); sys.exit(3)")
    wait_until(lambda: not second.running)
    assert second.log_tail() == ["one", "\x1b[2Jtwo"]
    assert second.quoted_log().endswith("it.log:\n  | one\n  | ?[2Jtwo")
    assert (second.status, second.ending()) == (3, "exit status 3")
    assert second.log.read_text().startswith("of the first run\n")


def test_a_run_without_a_word_has_an_empty_log(started):
    quiet = started("")
    wait_until(lambda: not quiet.running)
    assert "empty" in quiet.quoted_log()


def test_signals_are_named_and_a_suspended_child_wakes_to_end(started):
    process = started(WAIT)
    wait_until(lambda: process.log_tail() == ["up"])
    os.kill(process.pid, signal.SIGSTOP)
    process.end(10)
    assert (process.status, process.ending()) == (-15, "SIGTERM")


def test_a_child_that_does_not_listen_is_killed_after_the_deadline(started):
    process = started(f"import signal; signal.signal(15, signal.SIG_IGN); {WAIT}")
    wait_until(lambda: process.log_tail() == ["up"])
    process.end(0.1)
    assert process.ending() == "SIGKILL"
    process.end(0.1)
    process.kill()


def test_ctrl_c_at_the_terminal_is_not_the_child_s(started):
    process = started(WAIT)
    wait_until(lambda: process.log_tail() == ["up"])
    assert os.getsid(process.pid) != os.getsid(0)


def test_a_long_log_is_put_aside(tmp_path, started):
    log = tmp_path / "log" / "it.log"
    log.parent.mkdir()
    with log.open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    process = started("print('new')")
    wait_until(lambda: not process.running)
    assert log.read_text() == "new\n"
    assert (log.parent / "it.log.1").stat().st_size == 17 * 1024 * 1024


ORPHANS = """
import os, signal, sys
from pathlib import Path
from deploy.embedded.child import Child
directory = Path(sys.argv[1])
wait = "import signal, sys, time; signal.signal(15, lambda *a: (print('saved', flush=True), sys.exit())); "
wait += "print('up', flush=True); time.sleep(60)"
for name, number in (("polite", signal.SIGTERM), ("rude", signal.SIGKILL)):
    child = Child(name, [sys.executable, "-c", wait], directory / name, cwd=directory, environment=os.environ,
                  when_orphaned=number)
    child.start()
    while child.log_tail() != ["up"]:
        pass
    print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_orphans_get_their_signal(tmp_path):
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANS, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    for pid in map(int, parent.stdout.split()):
        wait_until(lambda pid=pid: ProcessId.of(pid) is None)
    assert (tmp_path / "polite").read_text() == "up\nsaved\n"
    assert (tmp_path / "rude").read_text() == "up\n"
