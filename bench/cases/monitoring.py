"""raw-log -> parsed, routed, windowed, exactly once; beside it Kafka Streams and a stock Faust agent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bench import services
from bench.kafka_load import access_line, fill, order_line
from bench.measure import usage
from bench.peers import stock, streams
from bench.progress import drain, grow
from bench.result import SLUICE, Result
from tests.support.kafka import LiveKafka
from tests.support.worker import Worker

DEADLINE_S = 900.0
# With three metrics: a sum, a largest value, percentiles.
ROUTES = """
[access_log]
patterns = ["combined", "common"]
[[business]]
name = "orders"
logger = "orders"
format = "json"
timestamp = "ts"
fields = { order_id = "str", status = "str", amount = "float" }
group_by = ["status"]
metrics = { revenue = { sum = "amount" }, largest = { max = "amount" }, amount = { percentiles = "amount" } }
"""


def access(directory: Path, *, records: int, stock_records: int) -> Iterator[Result]:
    """Access lines: Sluice and both peers on the same backlog, the slow one on the beginning of a smaller one."""
    with services.kafka(directory) as broker:
        services.create_topics(directory, broker)
        fill(broker.bootstrap, services.RAW_LOG, records, access_line)
        yield _sluice(directory, broker, "monitor", f"{records:,} access lines", records)
        yield _streams(directory, broker, f"{records:,} access lines", records)
    with services.kafka(directory / "small") as broker:
        services.create_topics(directory / "small", broker)
        fill(broker.bootstrap, services.RAW_LOG, stock_records, access_line)
        yield _stock(directory, broker, f"{records:,} access lines", stock_records)


def business(directory: Path, *, records: int) -> Iterator[Result]:
    """Business lines as JSON, three metrics grouped by a field."""
    with services.kafka(directory) as broker:
        services.create_topics(directory, broker)
        fill(broker.bootstrap, services.RAW_LOG, records, order_line)
        yield _sluice(directory, broker, "business", f"{records:,} JSON lines, 3 metrics", records)


def scaling(directory: Path, *, records: int, partitions: int, workers: int) -> Iterator[Result]:
    """The same with other numbers of partitions and workers: their CPU and memory are added up."""
    load = f"{records:,} access lines, {partitions} partitions, {workers} worker{'s' if workers > 1 else ''}"
    with services.kafka(directory) as broker:
        services.create_topics(directory, broker, partitions)
        fill(broker.bootstrap, services.RAW_LOG, records, access_line, partitions=partitions)
        yield _sluice(directory, broker, "scaling", load, records, workers=workers, partitions=partitions)


def _sluice(
    directory: Path, broker: LiveKafka, case: str, load: str, records: int, *, workers: int = 1, partitions: int = 4
) -> Result:
    routes = directory / "routes.toml"
    routes.write_text(ROUTES)
    settings = {"SLUICE_ROUTES": routes, "SLUICE_PARTITIONS": partitions}
    made = [
        Worker(directory / f"worker-{number}", broker=broker.url, roles="monitor", settings=settings)
        for number in range(workers)
    ]
    try:
        for worker in made:
            worker.start(ready=False)
        done = drain(
            broker.bootstrap, "sluice-monitor", services.RAW_LOG, records,
            alive=lambda: all(worker.running for worker in made), deadline_s=DEADLINE_S,
        )  # fmt: skip
        used = [usage(worker.pid) for worker in made]
        counted = _counted(made[0], case)
        for worker in made:
            worker.stop(60)
    finally:
        for worker in made:
            worker.kill()
    assert counted == records, f"the windows count {counted} of {records}"
    cpu_us = sum(each.cpu_s for each in used) / records * 1e6
    note = f"windows exact; {done.seconds:.1f} s with start-up"
    return Result(case, SLUICE, load, done.warm_per_s, "records/s", cpu_us, sum(each.peak_mb for each in used), note)


def _counted(worker: Worker, case: str) -> int:
    """The sum over all windows; another worker's part reaches this one through the changelog, a moment later."""
    path, what = ("/api/business/orders", "count") if case == "business" else ("/api/access", "requests")
    worker.wait_ready()
    return sum(int(window[what]) for window in worker.get_json(path)["windows"])


def _streams(directory: Path, broker: LiveKafka, load: str, records: int) -> Result:
    topic = f"{streams.GROUP}-access-log"
    broker.create_topic(topic, partitions=services.PARTITIONS)
    with streams.topology(directory / "streams", broker.bootstrap) as process:
        done = drain(
            broker.bootstrap, streams.GROUP, services.RAW_LOG, records,
            alive=lambda: process.running, deadline_s=DEADLINE_S,
        )  # fmt: skip
        used = usage(process.pid)
    ends = sum(broker.end_offsets(topic).values())  # the transactions' markers count too
    assert ends >= records, f"{ends} records and markers forwarded of {records}"
    note = f"forwarded; {done.seconds:.1f} s with start-up"
    cpu_us = used.cpu_s / records * 1e6
    return Result("monitor", "Kafka Streams", load, done.warm_per_s, "records/s", cpu_us, used.peak_mb, note)


def _stock(directory: Path, broker: LiveKafka, load: str, records: int) -> Result:
    topic = "stock-access-log"
    broker.create_topic(topic, partitions=services.PARTITIONS)
    with stock.agent(directory / "stock", broker.url) as process:
        done = grow(broker.bootstrap, topic, records, alive=lambda: process.running, deadline_s=DEADLINE_S)
        used = usage(process.pid)
    note = f"{records:,} lines, forwarded at least once; {done.seconds:.1f} s with start-up"
    cpu_us = used.cpu_s / records * 1e6
    return Result("monitor", "stock Faust", load, done.warm_per_s, "records/s", cpu_us, used.peak_mb, note)
