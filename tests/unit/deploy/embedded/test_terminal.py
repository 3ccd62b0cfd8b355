"""Ctrl-C on a real (pseudo) terminal, with GNU make above, as a person has it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from deploy.embedded.terminal import own_foreground
from tests.support.terminal import CTRL_C, CTRL_Z, OnTerminal

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


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return f"{sys.executable} {path}"


@pytest.fixture
def makefile(tmp_path: Path, program: str) -> str:
    path = tmp_path / "Makefile"
    path.write_text(f"run:\n\t@{program}\n")
    return str(path)


def test_make_does_not_see_ctrl_c_and_ends_well(makefile):
    with OnTerminal("make", "-f", makefile, "run") as terminal:
        terminal.wait_for("taken True")
        terminal.type(CTRL_C)
        assert terminal.status() == 0
    assert "asked by SIGINT" in terminal.text
    assert "given back" in terminal.text
    assert "Interrupt" not in terminal.text


def test_ctrl_z_does_not_leave_a_terminal_that_nobody_has(makefile):
    with OnTerminal("make", "-f", makefile, "run") as terminal:
        terminal.wait_for("taken True")
        terminal.type(CTRL_Z + CTRL_C)
        assert terminal.status() == 0


def test_the_terminal_is_given_back_to_who_had_it(program):
    with OnTerminal("sh", "-c", f"{program}; read line; echo got $line") as terminal:
        terminal.wait_for("taken True")
        terminal.type(CTRL_C)
        terminal.wait_for("given back")
        terminal.type(b"typed\n")
        assert terminal.status() == 0
    assert "got typed" in terminal.text


def test_who_has_the_terminal_alone_takes_nothing(program):
    with OnTerminal(*program.split()) as terminal:
        terminal.wait_for("not taken True")
        terminal.type(CTRL_C)
        assert terminal.status() == 0


def test_without_a_terminal_nothing_is_taken():
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
