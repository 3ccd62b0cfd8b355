"""The garbage collector of a worker: hardly ever while batches are worked on, and once a minute for everything."""

from __future__ import annotations

import gc
import logging
import time

from mode import Service

log = logging.getLogger(__name__)

# A batch is thousands of tuples that live for a moment: collecting every 700 of them took a third of all CPU
# (docs/decisions/0002-batches.md). But with these, the old generation would not be looked at for days.
THRESHOLDS = (1_000_000, 20, 50)
# What a rebalance ends (consumers, producers, lanes and their tasks) are cycles of objects that have grown old, 8 MB
# each time. To look at everything that was made since the start takes 10 to 40 ms.
FULL_EVERY_S = 60.0


class Collector(Service):
    """Exempts what the start has made, which stays for good, and then collects the rest in full at intervals."""

    mundane_level = "debug"

    def __init__(self, full_every_s: float = FULL_EVERY_S) -> None:
        super().__init__()
        self._full_every_s = full_every_s

    async def on_start(self) -> None:
        """Tune the interpreter's collector."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)

    @Service.task
    async def _collect(self) -> None:
        while not self.should_stop:
            await self.sleep(self._full_every_s)
            began = time.perf_counter()
            unreachable = gc.collect()
            log.debug("Collected %d objects in %.3f s", unreachable, time.perf_counter() - began)
