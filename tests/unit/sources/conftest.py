"""The event loops that tests of sources run on: asyncio's own, and those that a module names in `LOOPS`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Function
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop is what workers run on, and reads, writes and fails in its own ways."""
    return getattr(item.module, "LOOPS", {"asyncio": asyncio.new_event_loop})
