"""Lets a consumer be stopped while its assignment changes.

aiokafka 0.14.0 ends its fetch routine by cancelling it. A routine that is just then ending the fetches of partitions it
has lost takes the cancellation for theirs, goes on, and whoever stops the consumer waits for it without end: a worker
that is told to stop during a rebalance, for one.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer

AGAIN_S = 0.2


def close_for_sure(consumer: AIOKafkaConsumer) -> None:
    """Let a started consumer cancel its fetch routine until it has ended."""
    fetcher = consumer._fetcher
    close = fetcher.close

    async def closed() -> None:
        while not fetcher._fetch_task.done():
            fetcher._fetch_task.cancel()
            await asyncio.wait([fetcher._fetch_task], timeout=AGAIN_S)
        await close()

    fetcher.close = closed
