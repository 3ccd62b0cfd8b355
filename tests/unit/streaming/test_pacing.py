"""Pacing: an empty fetch that is answered at once is followed by a pause, and nothing else is."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from streaming import pacing
from streaming.pacing import AT_ONCE_S, PAUSE_S, pace

LONG_S = 60.0


def paced(fetch: Any) -> Any:
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(_proc_fetch_request=fetch))
    pace(consumer)  # type: ignore[arg-type]
    return consumer._fetcher._proc_fetch_request


async def took_s(fetch: Any) -> float:
    began = time.monotonic()
    await fetch("assignment", 0, "request")
    return time.monotonic() - began


async def test_an_empty_fetch_answered_at_once_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "AT_ONCE_S", LONG_S)  # at once, however long this machine takes for it

    async def empty(*_: Any) -> bool:
        return False

    assert await took_s(paced(empty)) >= PAUSE_S * 0.9  # timers of the loop are coarser than the clock


async def test_records_are_never_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PAUSE_S", LONG_S)
    calls: list[tuple[Any, ...]] = []

    async def records(*args: Any) -> bool:
        calls.append(args)
        return True

    assert await took_s(paced(records)) < LONG_S
    assert calls == [("assignment", 0, "request")]


async def test_a_fetch_that_the_broker_held_back_is_not_held_back_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "PAUSE_S", LONG_S)

    async def late(*_: Any) -> bool:
        await asyncio.sleep(AT_ONCE_S * 1.5)
        return False

    assert await took_s(paced(late)) < LONG_S


async def test_closing_the_fetcher_during_the_pause_is_not_an_error() -> None:
    async def empty(*_: Any) -> bool:
        return False

    pausing = asyncio.create_task(paced(empty)())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pausing.cancel()
    assert await pausing is False


async def test_closing_the_fetcher_while_it_waits_to_try_again_is_not_an_error() -> None:
    async def failing(*_: Any) -> bool:
        await asyncio.sleep(60)  # aiokafka's back-off after a fetch that went wrong
        return False

    trying = asyncio.create_task(paced(failing)())
    await asyncio.sleep(0)
    trying.cancel()
    assert await trying is False
