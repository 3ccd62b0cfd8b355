"""Threads that may be left behind."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from sinks.history.executor import AbandonableExecutor


def test_calls_give_their_result_or_their_error() -> None:
    with AbandonableExecutor(2, "test") as executor:
        assert executor.submit(divmod, 7, 3).result(10) == (2, 1)
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 7, 0).result(10)
        assert sorted(executor.map(abs, range(-50, 0))) == list(range(1, 51))


def test_at_most_so_many_calls_at_a_time_and_idle_threads_are_used_again() -> None:
    executor = AbandonableExecutor(2, "test")
    together = threading.Barrier(3)
    calls = [executor.submit(together.wait, 10) for _ in range(2)]
    third = executor.submit(threading.current_thread)
    assert not third.done()
    together.wait(10)
    names = {executor.submit(lambda: threading.current_thread().name).result(10) for _ in range(20)}
    assert [call.exception(10) for call in calls] == [None, None]
    assert names <= {"test_0", "test_1"}
    executor.shutdown()


def test_after_shutdown_nothing_is_taken_and_what_was_taken_is_done() -> None:
    executor = AbandonableExecutor(1, "test")
    go_on = threading.Event()
    running, waiting = executor.submit(go_on.wait, 10), executor.submit(abs, -1)
    executor.shutdown(wait=False)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(abs, -1)
    go_on.set()
    assert (running.result(10), waiting.result(10)) == (True, 1)


def test_waiting_calls_are_cancelled_when_asked_to() -> None:
    executor = AbandonableExecutor(1, "test")
    go_on, begun = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return go_on.wait(10)

    running = executor.submit(hold)
    assert begun.wait(10)
    waiting = executor.submit(abs, -1)
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    go_on.set()
    assert running.result(10)


def test_a_call_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = (
        "import time; from sinks.history.executor import AbandonableExecutor; "
        "AbandonableExecutor(1, 'test').submit(time.sleep, 600); print('ended')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"ended\n", b"")
