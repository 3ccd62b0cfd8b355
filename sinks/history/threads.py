"""Blocking calls from a coroutine, in a bounded executor."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor
from typing import TypeVar

T = TypeVar("T")


class Threads:
    """Runs blocking calls in an executor, in asyncio's own without one; at most `parallel` of one owner at a time.

    A caller that is cancelled does not wait for the thread: the call goes on, and its result is dropped.
    """

    def __init__(self, executor: Executor | None, parallel: int) -> None:
        self._executor = executor
        self._parallel = parallel

    async def run(self, call: Callable[..., T], *args: object) -> T:
        """The result of a call."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, functools.partial(call, *args))

    async def each(self, function: Callable[[T], Awaitable[None]], items: Iterable[T]) -> None:
        """Awaits a coroutine function for each item; after a failure begins no more, then raises the first."""
        waiting = iter(items)
        failures: list[Exception] = []

        async def work() -> None:
            for item in waiting:
                try:
                    await function(item)
                except Exception as failure:  # raised below, when the others have come to rest
                    failures.append(failure)
                if failures:
                    return

        await asyncio.gather(*(work() for _ in range(self._parallel)))
        if failures:
            raise failures[0]
