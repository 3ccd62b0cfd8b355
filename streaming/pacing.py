"""Keeps a consumer from spinning on a broker that answers empty fetches at once.

Kafka holds an empty fetch back for `fetch.max.wait.ms`; the embedded broker of `make run` does not, and an idle worker
took a whole core asking again. On Kafka this changes nothing: its empty answers come late.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer

AT_ONCE_S = 0.02  # an empty answer that is quicker was not held back
PAUSE_S = 0.04


def pace(consumer: AIOKafkaConsumer) -> None:
    """Let a started consumer wait a moment after an empty fetch that was answered at once.

    Also keeps it from being stopped with a CancelledError, which aiokafka's own fetch lets out where it waits to try
    again after an error: it would end whoever stops the consumer.
    """
    fetcher = consumer._fetcher
    fetch = fetcher._proc_fetch_request

    async def paced(*args: Any) -> Any:
        began = time.monotonic()
        try:
            fetched = await fetch(*args)
            if not fetched and time.monotonic() - began < AT_ONCE_S:
                await asyncio.sleep(PAUSE_S)
        except asyncio.CancelledError:
            return False  # as aiokafka's own fetch does elsewhere: whoever closes the fetcher waits for this task
        return fetched

    fetcher._proc_fetch_request = paced
