"""Signals that arrive as values."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from deploy.embedded.signals import Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stopping_signal_arrives_at_wait_and_nowhere_else(number):
    with Signals() as signals:
        os.kill(os.getpid(), number)
        assert signals.wait(5) == [number]
        assert signals.wait(0) == []


def test_the_end_of_a_child_ends_the_waiting_without_being_a_wish():
    with Signals() as signals:
        child = subprocess.Popen([sys.executable, "-c", ""])
        began = time.monotonic()
        assert signals.wait(60) == []
        assert time.monotonic() - began < 30
        child.wait()


def test_ctrl_z_suspends_nobody():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTSTP)
        assert signals.wait(0.01) == []


def test_the_former_handlers_are_back_afterwards():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGTSTP)
    before = [signal.getsignal(number) for number in numbers]
    with Signals():
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before
