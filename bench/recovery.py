"""`python -m bench.recovery`: how soon a worker counts again that has a million records of state.

The changelog is filled directly; then a worker is started with an empty data directory, killed, and started again
with what it has, each time with new lines waiting in raw-log. Told are the seconds from the start of the process to
the commit of all those lines, and of them what the worker itself says that it took to recover.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from datetime import datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from deploy.cluster.kafka import Kafka
from streaming.marker import MARKER, Marker
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker

GROUP, CHANGELOG, RAW_LOG = "sluice-monitor", "sluice-monitor-changelog", "raw-log"
PARTITIONS = 4
BATCH = 4000
LINES = 400
DEADLINE_S = 120.0
SLOT = b"[12,34567,81.25,[200,404],[11,1],[301,302,310,344],[4,4,3,1]]"


async def fill(bootstrap: str, records: int) -> None:
    """Write so many different keys, as windows have them, and a marker."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, transactional_id="bench", compression_type="lz4", max_batch_size=900_000
    )
    await producer.start()
    try:
        number = 0
        while number < records:
            await producer.begin_transaction()
            sent = []
            for partition in range(PARTITIONS):
                batch = producer.create_batch()
                for _ in range(BATCH):
                    key = b"slot\0access\0%010d/shop-%d/web-%d" % (
                        1_800_000_000 + number // 1000 * 10,
                        number % 10,
                        number,
                    )
                    batch.append(key=key, value=SLOT, timestamp=None)
                    number += 1
                batch.append(key=MARKER, value=Marker(0, 0).encode(), timestamp=None)
                sent.append(await producer.send_batch(batch, CHANGELOG, partition=partition))
            await asyncio.gather(*sent)
            await producer.commit_transaction()
    finally:
        await producer.stop()


def measure(kafka: LiveKafka, worker: Worker, what: str) -> float:
    """Start the worker with new lines waiting; returns the seconds until all are committed."""
    line = b'10.0.0.1 - - [21/Nov/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 1'
    for partition in range(PARTITIONS):
        headers = [("type", b"access_log"), ("host", b"web-1"), ("service", b"shop")]
        kafka.produce(RAW_LOG, [line] * (LINES // PARTITIONS), partition=partition, headers=headers)
    said = len(worker.log)
    began, began_at = time.monotonic(), datetime.now()
    worker.start(ready=False)
    wait_until(lambda: kafka.lag(GROUP, RAW_LOG) == 0, DEADLINE_S, "all to be counted", retry_on=Exception)
    took_s = time.monotonic() - began
    log = worker.log[said:]
    recovered = re.findall(r"^(\S+ \S+) INFO +streaming.exactly_once: Lane recovered ", log, re.M)
    assert len(recovered) >= PARTITIONS, log[-3000:]
    last = max(datetime.strptime(at, "%Y-%m-%d %H:%M:%S,%f") for at in recovered)
    print(
        f"{what}: counts after {took_s:.1f} s; lanes recovered after {(last - began_at).total_seconds():.1f} s",
        flush=True,
    )
    return took_s


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(prog="python -m bench.recovery", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="records of state (default a million)")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-recovery-") as directory:
        kafka = LiveKafka(Kafka(Path(directory) / "kafka"))
        workers: list[Worker] = []
        try:
            kafka.service.start()
            for topic in (RAW_LOG, "access-log", "business-orders", "dead-letter"):
                kafka.create_topic(topic, PARTITIONS)
            kafka.create_topic(CHANGELOG, PARTITIONS, cleanup_policy="compact")
            asyncio.run(fill(kafka.bootstrap, asked.records))
            took: dict[str, list[float]] = {"empty data directory": [], "same data directory": []}
            for number in range(asked.rounds):
                worker = Worker(Path(directory) / f"worker-{number}", broker=kafka.url, roles="monitor")
                workers.append(worker)
                for what, seconds in took.items():
                    seconds.append(measure(kafka, worker, what))
                    worker.kill()
                    wait_until(lambda: not members(kafka), DEADLINE_S, "the group to forget the killed worker")
            for what, seconds in took.items():
                print(f"{what}: median {sorted(seconds)[len(seconds) // 2]:.1f} s, {asked.records:,} records of state")
        finally:
            for worker in workers:
                worker.kill()
            kafka.service.kill()


def members(kafka: LiveKafka) -> int:
    """How many members the group has."""

    async def describe(admin: AIOKafkaAdminClient) -> int:
        (answer,) = await admin.describe_consumer_groups([GROUP])
        (group,) = answer.groups
        return len(group[5])

    return kafka._with_admin(describe)


if __name__ == "__main__":
    main()
