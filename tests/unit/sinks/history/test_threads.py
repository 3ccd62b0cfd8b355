"""Calls in threads: how many at a time, and what a failure stops."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sinks.history.threads import Threads


async def test_each_runs_all_and_no_more_than_allowed_at_a_time() -> None:
    running = most = 0
    done: list[int] = []

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(item)

    await Threads(None, 3).each(work, range(20))
    assert sorted(done) == list(range(20))
    assert most == 3


async def test_a_failure_begins_no_more_and_is_raised_when_the_others_rest() -> None:
    begun: list[int] = []
    ended: list[int] = []

    async def work(item: int) -> None:
        begun.append(item)
        await asyncio.sleep(0)
        if item == 2:
            raise ValueError("two")
        for _ in range(5):
            await asyncio.sleep(0)
        ended.append(item)

    with pytest.raises(ValueError, match="two"):
        await Threads(None, 3).each(work, range(20))
    assert begun == [0, 1, 2]
    assert ended == [0, 1]


async def test_a_caller_that_is_cancelled_does_not_wait() -> None:
    entered, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def block() -> bool:
        loop.call_soon_threadsafe(entered.set)
        return go_on.wait(30)

    with ThreadPoolExecutor(1) as executor:
        task = asyncio.create_task(Threads(executor, 1).run(block))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not go_on.is_set()
        go_on.set()
