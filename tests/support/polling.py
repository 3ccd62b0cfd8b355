"""Waiting for something to become true, with a deadline and a word about what was waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE_S = 60.0  # for whatever is not about speed
# Deadlines are written for a machine at rest, with room. One that is busy with something else gets so many times that.
SLACK = 3.0

_POLL_S = 0.05


def wait_until(
    condition: Callable[[], T],
    deadline_s: float,
    what: str,
    *,
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """Ask until the condition is true and return its value; exceptions of `retry_on` count as not yet true.

    Blocks the event loop if called from a coroutine: nothing of the test's own runs meanwhile.
    Raises: AssertionError after `deadline_s` times `SLACK`, quoting the last value or exception.
    """
    deadline_s *= SLACK
    give_up_at = time.monotonic() + deadline_s
    last: object = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except retry_on as error:
            last = error
        if time.monotonic() > give_up_at:
            raise AssertionError(_too_late(what, deadline_s, last))
        time.sleep(_POLL_S)


async def wait_until_async(
    condition: Callable[[], Awaitable[T]],
    deadline_s: float,
    what: str,
    *,
    retry_on: type[Exception] | tuple[type[Exception], ...] = (),
) -> T:
    """`wait_until` for a condition that is a coroutine function; the event loop goes on between the questions."""
    deadline_s *= SLACK
    give_up_at = time.monotonic() + deadline_s
    last: object = None
    while True:
        try:
            value = await condition()
            if value:
                return value
            last = value
        except retry_on as error:
            last = error
        if time.monotonic() > give_up_at:
            raise AssertionError(_too_late(what, deadline_s, last))
        await asyncio.sleep(_POLL_S)


def _too_late(what: str, deadline_s: float, last: object) -> str:
    return f"waited {deadline_s:g} s for: {what}; the last answer was {last!r}"
