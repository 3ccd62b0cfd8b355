"""Following a program: warm rates without the start, and no waiting for what ended or stands still."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import pytest

from bench import progress
from bench.progress import Reached, follow


class Alive:
    """This process as a program."""

    running = True
    pid = os.getpid()


class Ended(Alive):
    running = False


def steps(values: Iterable[int]) -> Reached:
    remaining = iter(values)
    last = 0

    async def reached() -> int:
        nonlocal last
        last = next(remaining, last)
        return last

    return reached


@pytest.fixture(autouse=True)
def _ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "ASK_EVERY_S", 0.01)


async def test_the_start_is_not_in_the_warm_rate() -> None:
    began = time.monotonic() - 1000
    done = await follow(steps([0, 0, 200, 600, 1000]), 1000, [Alive()], began=began)
    assert done.seconds >= 1000
    assert done.warm_per_s > 10  # with the start it were one a second
    assert done.used.cpu_s > 0
    assert done.used.peak_mb > 1


async def test_done_at_once_is_a_rate_of_all() -> None:
    done = await follow(steps([1000]), 1000, [Alive()], began=time.monotonic() - 1000)
    assert done.warm_per_s == pytest.approx(1, rel=0.1)


async def test_a_program_that_ends_fails_the_run() -> None:
    with pytest.raises(RuntimeError, match=r"10 of 1,000 after .* ended"):
        await follow(steps([10]), 1000, [Ended()], began=time.monotonic())


async def test_a_program_that_stands_still_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STALL_S", 0.2)
    with pytest.raises(RuntimeError, match="500 of 1,000"):
        await follow(steps([10, 500]), 1000, [Alive()], began=time.monotonic())
