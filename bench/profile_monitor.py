"""`python -m bench.profile_monitor`: the monitoring path without brokers, its CPU a record stage by stage.

The same functions as in a worker, on record batches as a fetch brings them: taken apart, made into monitoring records
and windows, packed and compressed for Kafka, written to the local state. What a broker answers, sockets and the event
loop are left out. Of each stage the least CPU of all rounds is shown, so other work on the machine hardly matters.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from agents.access_log import AccessLog
from agents.business_log import BusinessLog
from agents.monitor import PartitionMonitor
from bench.kafka_load import RECORDS_A_BATCH, MakeRecord, access_line, order_line
from config.routes import AccessLogRoute, BusinessRoute, Metric
from parsers.tomcat import compile_pattern
from streaming.collector import THRESHOLDS
from streaming.fetched import Batches, Chunks, Known
from streaming.records import Records
from streaming.rows import COMPRESSION, Row, Rows
from streaming.store import Store
from streaming.transactions import BATCH_BYTES, NO_HEADERS, RowsOrBatches, _batches

LZ4 = DefaultRecordBatch.CODEC_LZ4
CODECS = {"lz4": LZ4, "zstd": DefaultRecordBatch.CODEC_ZSTD}
FETCH_RECORDS = 4000  # what a worker asks for at once
PARTITION = 0
_FIELDS = {"order_id": "str", "status": "str", "amount": "float"}
_METRICS = (
    Metric("revenue", "sum", "amount"), Metric("largest", "max", "amount"), Metric("amount", "percentiles", "amount"),
)  # fmt: skip


def orders(format: str) -> BusinessRoute:
    """The business route of the benchmark, for lines of a format."""
    return BusinessRoute("orders", "orders", format, None, "ts", _FIELDS, "listed", ("status",), _METRICS)


def order_pairs(number: int, partition: int, rng: random.Random) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The benchmark's business line as key=value pairs."""
    body, headers = order_line(number, partition, rng)
    return " ".join(f"{name}={value}" for name, value in orjson.loads(body).items()).encode(), headers


def timed_line(number: int, partition: int, rng: random.Random) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A line of pattern `combined` with the time taken, as a pattern with %D has it."""
    body, headers = access_line(number, partition, rng)
    return body + b" %d" % rng.randrange(100, 3_000_000), headers


COMBINED = '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'
LINES: dict[str, tuple[MakeRecord, str]] = {
    "access": (access_line, "json"),
    "timed": (timed_line, "json"),
    "json": (order_line, "json"),
    "kv": (order_pairs, "kv"),
}


class Stages:
    """CPU seconds by stage, the least of all rounds for each fetch."""

    def __init__(self) -> None:
        self.least: dict[str, dict[int, float]] = {}

    @contextmanager
    def of(self, name: str, fetch: int) -> Iterator[None]:
        """Time a stage of a fetch."""
        began = time.process_time()
        yield
        took = time.process_time() - began
        known = self.least.setdefault(name, {})
        known[fetch] = min(known.get(fetch, took), took)

    def rows(self, records: int) -> list[str]:
        """Microseconds a record of each stage and of all."""
        found = {name: sum(each.values()) / records * 1e6 for name, each in self.least.items()}
        main = {name: us for name, us in found.items() if not name.startswith("limit")}
        lines = [f"{name:<34} {us:6.2f} µs a record" for name, us in found.items()]
        return [*lines, f"{'all stages':<34} {sum(main.values()):6.2f} µs a record"]


def fetches(make: MakeRecord, records: int) -> list[bytes]:
    """Record batches as brokers keep them, FETCH_RECORDS records a fetch."""
    rng, found, current = random.Random(1), [], b""
    for first in range(0, records, RECORDS_A_BATCH):
        builder = BatchBuilder(BATCH_BYTES, LZ4)
        arrival_ms = int(time.time() * 1000)
        for number in range(first, first + RECORDS_A_BATCH):
            body, headers = make(number, PARTITION, rng)
            builder.append(timestamp=arrival_ms, key=b"web-0", value=body, headers=headers)
        packed = bytearray(builder._build())
        packed[:8] = first.to_bytes(8, "big")  # the broker's part: the base offset, not under the checksum
        current += packed
        if (first + RECORDS_A_BATCH) % FETCH_RECORDS == 0:
            found.append(current)
            current = b""
    return found


class _Assignment:
    """What a fetch result asks of the assignment."""

    active, paused = True, False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _tp: TopicPartition) -> _Assignment:
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


def decode(fetched: bytes, offset: int, known: Known) -> Records:
    """Records as the consumer takes them out of what was fetched."""
    tp = TopicPartition("raw-log", PARTITION)
    reader = PartitionRecords(tp, Batches(fetched), [], offset, None, None, False, READ_COMMITTED)
    result = FetchResult(tp, assignment=_Assignment(offset), partition_records=reader, backoff=0)
    records = Chunks(result, known).take(FETCH_RECORDS)
    assert isinstance(records, Records)
    return records


def pack(producer: AIOKafkaProducer, forwards: Rows, changes: dict[bytes, bytes | None]) -> None:
    """Record batches as the transaction sends them."""
    rows: dict[str, RowsOrBatches] = {**forwards.by_topic(BATCH_BYTES)}
    rows["changelog"] = [Row("changelog", key, value, None, NO_HEADERS) for key, value in changes.items()]
    for some in rows.values():
        for builder, _ in _batches(producer, some):
            builder._build()


class Producer:
    """What `_batches` asks of aiokafka's producer, without a loop and brokers."""

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(BATCH_BYTES, CODECS[COMPRESSION], is_transactional=1)


def monitor(format: str, store: Store, pattern: str) -> PartitionMonitor:
    """A partition's monitor on local state, with the benchmark's routes."""
    routes = [AccessLog(AccessLogRoute((pattern, "common"), 10.1)), BusinessLog(orders(format))]
    return PartitionMonitor(PARTITION, routes, store.partition(PARTITION), window_s=10, retention_s=3600)


def run(kind: str, data: list[bytes], stages: Stages) -> None:
    """One round over all fetches, on empty local state."""
    _, format = LINES[kind]
    producer: Any = Producer()
    with tempfile.TemporaryDirectory(prefix="sluice-profile-") as directory:
        store = Store(Path(directory) / "state")
        state = store.partition(PARTITION)
        processor = monitor(format, store, COMBINED + " %D" if kind == "timed" else "combined")
        offset, known = 0, Known()
        for number, fetched in enumerate(data):
            with stages.of("decode: bytes to records", number):
                records = decode(fetched, offset, known)
            offset = records[-1].offset + 1
            with stages.of("process: parse, count, encode", number):
                outcome = processor.process(records, 0)
            with stages.of("pack: record batches, compressed", number):
                pack(producer, outcome.forwards, outcome.changes)
            with stages.of("store: windows to RocksDB", number):
                state.apply(outcome.changes, offset)
            assert len(outcome.forwards) == len(records)
        store.close()


def limits(kind: str, data: list[bytes], stages: Stages) -> None:
    """The least that each stage could cost with the same libraries."""
    for number, fetched in enumerate(data):
        memory = MemoryRecords(fetched)
        records: list[Any] = []
        with stages.of("limit of decode: aiokafka's C part", number):
            while (batch := memory.next_batch()) is not None:
                records.extend(batch)
        bodies = [record.value for record in records]
        with stages.of("limit of parsing: bare re or orjson", number):
            parsed = _bare(kind)(bodies)
        with stages.of("limit of encoding: bare orjson", number):
            values = [orjson.dumps(each) for each in parsed]
        append = BatchBuilder(1 << 30, LZ4)._builder.append
        with stages.of("limit of packing: bare C append", number):
            for at, value in enumerate(values):
                append(at, 0, key=b"web-0", value=value, headers=NO_HEADERS)


def _bare(kind: str) -> Callable[[list[bytes]], list[Any]]:
    if kind in ("access", "timed"):
        match = compile_pattern("combined" if kind == "access" else COMBINED + " %D", 10.1).match
        return lambda bodies: [found.groups() for body in bodies if (found := match(body.decode()))]
    if kind == "json":
        return lambda bodies: [orjson.loads(body) for body in bodies]
    return lambda bodies: [dict(pair.split("=", 1) for pair in body.decode().split(" ")) for body in bodies]


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile_monitor", description=__doc__)
    parser.add_argument("kind", nargs="*", help=f"any of {', '.join(LINES)}; all without")
    parser.add_argument("--records", type=int, default=80_000, help="a round (default 80,000)")
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--profile", action="store_true", help="functions by their own time (cProfile), one round")
    asked = parser.parse_args()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)  # as a worker's
    for kind in asked.kind or LINES:
        data = fetches(LINES[kind][0], asked.records // FETCH_RECORDS * FETCH_RECORDS)
        stages = Stages()
        if asked.profile:
            profile = cProfile.Profile()
            profile.runcall(run, kind, data, stages)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            continue
        for _ in range(asked.rounds):
            run(kind, data, stages)
            limits(kind, data, stages)
        print(f"{kind}: {len(data) * FETCH_RECORDS:,} records, least of {asked.rounds} rounds")
        print("\n".join(f"  {row}" for row in stages.rows(len(data) * FETCH_RECORDS)))


if __name__ == "__main__":
    main()
