"""An answer shared by all who ask at about the same time, so that many viewers ask the brokers once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Fresh(Generic[T]):
    """Asks at most once in `max_age_s`, however many want to know; a failure reaches who asked and is not kept."""

    def __init__(
        self, ask: Callable[[], Awaitable[T]], max_age_s: float = 1.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._max_age_s = max_age_s
        self._now = now
        self._asking = asyncio.Lock()
        self._kept: tuple[float, T] | None = None  # when it was asked, and the answer

    async def get(self) -> T:
        """An answer that was at most `max_age_s` old when it was wanted. Raises what asking raises."""
        wanted_at = self._now()
        async with self._asking:
            if self._kept is None or self._kept[0] < wanted_at - self._max_age_s:
                asked_at = self._now()
                self._kept = (asked_at, await self._ask())
            return self._kept[1]
