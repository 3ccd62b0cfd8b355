"""raw-log -> parsed, routed, windowed, exactly once; beside it Kafka Streams and a stock Faust agent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

from bench.kafka_load import MakeRecord, access_line, fill, order_line
from bench.peers import stock, streams
from bench.progress import Done, count, drain, grow
from bench.result import Kind, Result
from bench.services import PARTITIONS, RAW_LOG, Services, running
from tests.support.polling import PATIENCE_S, wait_until
from tests.support.worker import Worker

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


def monitor(services: Services, records: int, stock_records: int) -> Iterator[Result]:
    """Access lines: Sluice and both peers on the same backlog, the slow one until it has done a part of it."""
    load = f"{records:,} access lines"
    return _in_turns(services, "monitor", load, records, stock_records, access_line, "AccessWindows")


def business(services: Services, records: int, stock_records: int) -> Iterator[Result]:
    """The same with business lines as JSON, three metrics grouped by a field."""
    load = f"{records:,} JSON lines, 3 metrics"
    return _in_turns(services, "business", load, records, stock_records, order_line, "OrderWindows")


def _in_turns(
    services: Services, case: str, load: str, records: int, stock_records: int, make: MakeRecord, topology: str
) -> Iterator[Result]:
    services.empty()
    fill(services.broker.bootstrap, RAW_LOG, records, make)
    yield _sluice(services, case, load, records)
    yield _streams(services, case, load, records, topology)
    yield _stock(services, case, load, stock_records)


def scaling(services: Services, records: int, shapes: tuple[tuple[int, int], ...]) -> Iterator[Result]:
    """The same with so many partitions and workers; CPU is added up, memory is the largest worker's."""
    for partitions, workers in shapes:
        services.empty(partitions)
        fill(services.broker.bootstrap, RAW_LOG, records, access_line, partitions=partitions)
        load = f"{partitions} partitions, {workers} worker{'s' if workers > 1 else ''}, {records:,} access lines"
        yield _sluice(services, "scaling", load, records, workers=workers)


def backlog(services: Services, sizes: tuple[int, ...]) -> Iterator[Result]:
    """The same with more to catch up with: what a record costs, and what the worker holds."""
    for records in sizes:
        services.empty()
        fill(services.broker.bootstrap, RAW_LOG, records, access_line)
        yield _sluice(services, "backlog", f"{records:,} access lines", records)


def _sluice(services: Services, case: str, load: str, records: int, *, workers: int = 1) -> Result:
    directory, broker = services.new_directory(case), services.broker
    routes = directory / "routes.toml"
    routes.write_text(ROUTES)
    made = [
        Worker(
            directory / f"worker-{number}",
            broker=broker.url,
            roles="monitor",
            app_id=directory.name,
            settings={"SLUICE_ROUTES": routes},
        )
        for number in range(workers)
    ]
    began = time.monotonic()
    with ExitStack() as stack:
        for worker in made:
            stack.enter_context(running(worker, ready=False))
        done = drain(broker.bootstrap, f"{directory.name}-monitor", RAW_LOG, records, made, began=began)
        for worker in made:
            _check_windows(worker, case, records)
    return _result(case, load, "sluice", "Sluice", done, "the windows of each worker count every line once")


def _check_windows(worker: Worker, case: str, records: int) -> None:
    """The sum over all windows; another worker's part reaches this one through the changelog, a moment later."""
    path, what = ("/api/business/orders", "count") if case == "business" else ("/api/access", "requests")
    worker.wait_ready()
    counted = 0

    def all_counted() -> bool:
        nonlocal counted
        counted = sum(int(window[what]) for window in worker.get_json(path)["windows"])
        return counted >= records

    wait_until(all_counted, PATIENCE_S, f"windows of {records:,} records")
    assert counted == records, f"the windows count {counted:,} of {records:,}"


def _streams(services: Services, case: str, load: str, records: int, topology: str) -> Result:
    directory, broker = services.new_directory("streams"), services.broker
    topic = streams.forwarded(directory)
    broker.create_topic(topic, PARTITIONS)
    program = streams.topology(topology, directory, broker.bootstrap)
    began = time.monotonic()
    with running(program):
        done = drain(broker.bootstrap, directory.name, RAW_LOG, records, [program], began=began)
    forwarded = count(broker.bootstrap, topic)
    assert forwarded == records, f"{forwarded:,} records forwarded of {records:,}"
    return _result(case, load, "peer", "Kafka Streams", done, "each line forwarded once")


def _stock(services: Services, case: str, load: str, records: int) -> Result:
    directory, broker = services.new_directory("stock"), services.broker
    broker.create_topic(stock.FORWARDED, PARTITIONS)
    for changelog in stock.changelogs(directory):
        broker.create_topic(changelog, PARTITIONS, cleanup_policy="compact")
    program = stock.agent(directory, broker.url)
    began = time.monotonic()
    with running(program):
        done = grow(broker.bootstrap, stock.FORWARDED, records, [program], began=began)
    return _result(case, load, "peer", "stock Faust", done, f"until {records:,} lines were forwarded")


def _result(case: str, load: str, kind: Kind, who: str, done: Done, note: str) -> Result:
    note = f"{note}; {done.seconds:.1f} s with start-up"
    return Result(case, load, kind, who, done.warm_per_s, "records/s", done.warm_cpu_us, done.used.peak_mb, note)
