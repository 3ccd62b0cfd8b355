"""Fills raw-log with access lines, as fast as batches go; a worker then has a backlog to work off."""

from __future__ import annotations

import asyncio
import random
import time

from aiokafka import AIOKafkaProducer

RECORDS_A_BATCH = 2000


async def fill(bootstrap: str, topic: str, records: int, partitions: int = 4) -> None:
    """Write so many lines of pattern `combined`, evenly over the partitions; returns when all are acknowledged."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, compression_type="lz4", max_batch_size=900_000
    )
    await producer.start()
    try:
        rng = random.Random(1)
        sent, written = [], 0
        while written < records:
            batch, partition = producer.create_batch(), written // RECORDS_A_BATCH % partitions
            for number in range(written, min(written + RECORDS_A_BATCH, records)):
                batch.append(
                    timestamp=int(time.time() * 1000), key=b"web-%d" % partition, **_line(number, partition, rng)
                )
            written += batch.record_count()
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            if len(sent) >= 32:
                await asyncio.gather(*sent)
                sent = []
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


def _line(number: int, partition: int, rng: random.Random) -> dict[str, object]:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime()).encode()
    return {
        "value": b'10.0.%d.7 - - [%b] "GET /item/%d?n=%d HTTP/1.1" %d %d "-" "Mozilla/5.0 (X11; Linux x86_64)"'
        % (number % 256, stamp, rng.randrange(50), number, 200 if number % 20 else 500, number % 5000),
        "headers": [("type", b"access_log"), ("host", b"web-%d" % partition), ("service", b"shop")],
    }
