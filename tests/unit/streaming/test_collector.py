"""Garbage that has grown old is collected, though batches hardly ever make the collector run."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from streaming.collector import THRESHOLDS, Collector
from tests.support.polling import PATIENCE_S


class Cycle:
    """What only the collector can free."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def grown_old(freed: asyncio.Event) -> weakref.ref[Cycle]:
    """Garbage of the oldest generation, which the tuned collector would leave alone for days."""
    cycle = Cycle()
    gc.collect(0), gc.collect(1)  # a survivor moves one generation up each time
    garbage = weakref.ref(cycle, lambda _: freed.set())
    del cycle
    gc.collect(1)
    assert garbage() is not None
    return garbage


async def test_old_garbage_is_collected_at_intervals() -> None:
    freed = asyncio.Event()
    async with Collector(full_every_s=0.01):
        garbage = grown_old(freed)
        await asyncio.wait_for(freed.wait(), PATIENCE_S)
        assert garbage() is None


async def test_the_hot_path_is_spared() -> None:
    async with Collector():
        assert gc.get_threshold() == THRESHOLDS
        assert gc.get_freeze_count() > 0
