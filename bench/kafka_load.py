"""Fills raw-log as fast as batches go; a worker then has a backlog to work off."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from functools import lru_cache

from aiokafka import AIOKafkaProducer

RECORDS_A_BATCH = 2000
STATUSES = ("paid", "open", "cancelled", "refunded")

MakeRecord = Callable[[int, int, random.Random], "tuple[bytes, list[tuple[str, bytes]]]"]
"""Body and headers of record `number` for `partition`."""


def fill(bootstrap: str, topic: str, records: int, make: MakeRecord, *, partitions: int = 4) -> None:
    """Write so many records, evenly over the partitions; returns when all are acknowledged."""
    asyncio.run(_fill(bootstrap, topic, records, make, partitions))


async def _fill(bootstrap: str, topic: str, records: int, make: MakeRecord, partitions: int) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="lz4", max_batch_size=900_000
    )
    await producer.start()
    try:
        rng = random.Random(1)
        sent, written = [], 0
        while written < records:
            batch, partition = producer.create_batch(), written // RECORDS_A_BATCH % partitions
            arrival_ms = int(time.time() * 1000)
            for number in range(written, min(written + RECORDS_A_BATCH, records)):
                body, headers = make(number, partition, rng)
                batch.append(timestamp=arrival_ms, key=b"web-%d" % partition, value=body, headers=headers)
            written += batch.record_count()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            if len(sent) >= 32:
                await asyncio.gather(*sent)
                sent = []
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def access_line(number: int, partition: int, rng: random.Random) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A line of pattern `combined`, of now."""
    stamp = _stamp(int(time.time()))
    body = b'10.0.%d.7 - - [%b] "GET /item/%d?n=%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"' % (
        number % 256, stamp, rng.randrange(50), number, 200 if number % 20 else 500, number % 5000,
    )  # fmt: skip
    return body, [("type", b"access_log"), ("host", b"web-%d" % partition), ("service", b"shop")]


def order_line(number: int, partition: int, rng: random.Random) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A line of the business log that the shipped routes name, as JSON, of now."""
    body = {
        "ts": int(time.time() * 1000),
        "order_id": f"A-{number}",
        "status": STATUSES[number % 4],
        "amount": rng.randrange(100, 100_000) / 100,
    }
    headers = [("type", b"business"), ("logger", b"orders"), ("host", b"web-%d" % partition), ("service", b"shop")]
    return json.dumps(body).encode(), headers


@lru_cache(maxsize=2)
def _stamp(second: int) -> bytes:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second)).encode()
