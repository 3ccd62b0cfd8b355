"""One answer for all who ask at about the same time."""

from __future__ import annotations

import asyncio

import pytest

from app.fresh import Fresh


class Source:
    def __init__(self) -> None:
        self.asked = 0
        self.fails = False

    async def ask(self) -> int:
        await asyncio.sleep(0)
        self.asked += 1
        if self.fails:
            raise ConnectionError("away")
        return self.asked


async def test_asked_once_however_many_want_to_know() -> None:
    source = Source()
    fresh = Fresh(source.ask, 1.0, now=lambda: 10.0)

    assert await asyncio.gather(*(fresh.get() for _ in range(50))) == [1] * 50


async def test_asked_again_once_the_answer_is_too_old() -> None:
    source, clock = Source(), [10.0]
    fresh = Fresh(source.ask, 1.0, now=lambda: clock[0])

    assert await fresh.get() == 1
    clock[0] = 11.0
    assert await fresh.get() == 1
    clock[0] = 11.01
    assert await fresh.get() == 2


async def test_a_failure_reaches_who_asked_and_is_not_kept() -> None:
    source = Source()
    fresh = Fresh(source.ask, 1.0, now=lambda: 10.0)
    source.fails = True
    with pytest.raises(ConnectionError):
        await fresh.get()

    source.fails = False
    assert await fresh.get() == 2


async def test_a_failure_does_not_keep_an_old_answer_alive() -> None:
    source, clock = Source(), [10.0]
    fresh = Fresh(source.ask, 1.0, now=lambda: clock[0])
    await fresh.get()
    clock[0], source.fails = 20.0, True

    with pytest.raises(ConnectionError):
        await fresh.get()
