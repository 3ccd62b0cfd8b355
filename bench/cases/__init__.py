"""The cases: load, what is measured, and what has to have arrived for the figure to count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bench.cases.history import history
from bench.cases.ingest import Load, ingest
from bench.cases.monitoring import access, business, scaling
from bench.cases.whole import everything, latency
from bench.result import Result

Case = Callable[[Path, bool], Iterator[Result]]
"""Runs once in a folder of its own; with True a small load, to see that the harness works."""


def _ingest(directory: Path, short: bool) -> Iterator[Result]:
    if short:
        yield from ingest(directory, [Load(50, 1, 1.0)], processes=(1,))
    else:
        loads = [Load(200, 1, 10.0), Load(1500, 1, 10.0), Load(200, 100, 10.0)]
        yield from ingest(directory, loads, processes=(1, 2))


def _scaling(directory: Path, short: bool) -> Iterator[Result]:
    records = 10_000 if short else 1_000_000
    for partitions, workers in ((2, 1),) if short else ((2, 1), (4, 1), (2, 2), (4, 2)):
        yield from scaling(
            directory / f"{partitions}-{workers}", records=records, partitions=partitions, workers=workers
        )


CASES: dict[str, Case] = {
    "ingest": _ingest,
    "monitor": lambda directory, short: access(
        directory, records=20_000 if short else 1_000_000, stock_records=2_000 if short else 50_000
    ),
    "business": lambda directory, short: business(directory, records=10_000 if short else 1_000_000),
    "history": lambda directory, short: history(directory, records=20_000 if short else 2_000_000),
    "everything": lambda directory, short: everything(
        directory, posts=200 if short else 30_000, events=50, connections=20 if short else 200
    ),
    "latency": lambda directory, short: latency(
        directory, per_s=500 if short else 5_000, seconds=3.0 if short else 30.0
    ),
    "scaling": _scaling,
    "backlog": lambda directory, short: scaling(
        directory, records=10_000 if short else 20_000_000, partitions=4, workers=1
    ),
}
