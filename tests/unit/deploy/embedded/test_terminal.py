"""Ctrl-C on a real (pseudo) terminal, with GNU make above, as a person has it."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from pathlib import Path

import pytest

from deploy.embedded.terminal import own_foreground

ROOT = Path(__file__).parents[4]
CTRL_C, CTRL_Z = b"\x03", b"\x1a"

# Stops well on Ctrl-C: if make saw it too, make would end with an error.
PROGRAM = """
import os, sys
from deploy.embedded.signals import Signals
from deploy.embedded.terminal import own_foreground

with Signals() as signals, own_foreground() as taken:
    print("taken" if taken else "not taken", os.tcgetpgrp(0) == os.getpgrp(), flush=True)
    while True:
        asked = signals.wait(60)
        if asked:
            print("asked by", asked[0].name, flush=True)
            break
print("given back", flush=True)
"""


class OnTerminal:
    """A command on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.output = b""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execvp(command[0], command)

    def wait_for(self, text: bytes, deadline_s: float = 20.0) -> None:
        give_up_at = time.monotonic() + deadline_s
        while text not in self.output:
            assert time.monotonic() < give_up_at, self.output.decode(errors="replace")
            assert self._read(0.1) or text in self.output, self.output.decode(errors="replace")

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def status(self) -> int:
        while self._read(20.0):
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _read(self, timeout_s: float) -> bool:
        """False at the end."""
        if not select.select([self._terminal], [], [], timeout_s)[0]:
            return True
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # what Linux says when nobody has the terminal open any more
            return False
        self.output += read
        return bool(read)


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    path = tmp_path / "Makefile"
    path.write_text(f"run:\n\t@{sys.executable} {tmp_path / 'program.py'}\n")
    return path


def test_make_does_not_see_ctrl_c_and_ends_well(makefile):
    terminal = OnTerminal("make", "-f", str(makefile), "run")
    terminal.wait_for(b"taken True")
    terminal.type(CTRL_C)
    assert terminal.status() == 0
    assert b"asked by SIGINT" in terminal.output
    assert b"given back" in terminal.output
    assert b"Interrupt" not in terminal.output


def test_ctrl_z_does_not_leave_a_terminal_that_nobody_has(makefile):
    terminal = OnTerminal("make", "-f", str(makefile), "run")
    terminal.wait_for(b"taken True")
    terminal.type(CTRL_Z + CTRL_C)
    assert terminal.status() == 0


def test_the_terminal_is_given_back_to_who_had_it(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    shell = f"{sys.executable} {tmp_path / 'program.py'}; read line; echo got $line"
    terminal = OnTerminal("sh", "-c", shell)
    terminal.wait_for(b"taken True")
    terminal.type(CTRL_C)
    terminal.wait_for(b"given back")
    terminal.type(b"typed\n")
    assert terminal.status() == 0
    assert b"got typed" in terminal.output


def test_who_has_the_terminal_alone_takes_nothing(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    terminal = OnTerminal(sys.executable, str(tmp_path / "program.py"))
    terminal.wait_for(b"not taken True")
    terminal.type(CTRL_C)
    assert terminal.status() == 0


def test_without_a_terminal_nothing_is_taken(tmp_path):
    read_end, write_end = os.pipe()
    group = os.getpgrp()
    try:
        with own_foreground(read_end) as taken:
            assert not taken
            assert os.getpgrp() == group
    finally:
        os.close(read_end)
        os.close(write_end)
    assert signal.getsignal(signal.SIGTTOU) == signal.SIG_DFL
