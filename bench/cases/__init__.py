"""The cases: load, what is measured, and what has to have arrived for the figure to count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from bench.cases.history import history
from bench.cases.ingest import Load, ingest
from bench.cases.limits import limits
from bench.cases.monitoring import backlog, business, monitor, scaling
from bench.cases.whole import everything, latency
from bench.result import Result
from bench.services import Services

Run = Callable[[Services], Iterator[Result]]
"""One round: every program that is compared, each once, in the same order."""


class Case(NamedTuple):
    """A case with its load, and with one so small that it only shows that the harness works."""

    long: Run
    short: Run
    most_rounds: int = 99


_LOADS = [Load(200, 1, 8.0, 3.0), Load(1500, 1, 8.0, 3.0), Load(200, 100, 8.0, 3.0)]
_SMALL = [Load(20, 10, 4.0, 1.0)]  # long enough that something is answered also where the machine stands still

CASES: dict[str, Case] = {
    "ingest": Case(
        partial(ingest, loads=_LOADS, processes=(1, 2)),
        partial(ingest, loads=_SMALL, processes=(2,)),
    ),
    "history": Case(partial(history, records=2_000_000), partial(history, records=10_000)),
    "monitor": Case(
        partial(monitor, records=3_000_000, stock_records=50_000),
        partial(monitor, records=10_000, stock_records=1_000),
    ),
    "business": Case(
        partial(business, records=2_000_000, stock_records=50_000),
        partial(business, records=10_000, stock_records=1_000),
    ),
    "everything": Case(
        partial(everything, per_s=50_000, connections=200, seconds=60.0),
        partial(everything, per_s=1_000, connections=5, seconds=5.0),
    ),
    "latency": Case(partial(latency, per_s=5_000, seconds=30.0), partial(latency, per_s=100, seconds=2.0)),
    "scaling": Case(
        partial(scaling, records=2_000_000, shapes=((2, 1), (2, 2), (4, 1), (4, 2))),
        partial(scaling, records=10_000, shapes=((2, 2),)),
    ),
    # The largest takes some five minutes: once is enough.
    "backlog": Case(
        partial(backlog, sizes=(1_000_000, 5_000_000, 20_000_000)), partial(backlog, sizes=(10_000,)), most_rounds=1
    ),
    "limits": Case(
        partial(limits, loads=_LOADS, records=1_000_000, lines=200_000),
        partial(limits, loads=_SMALL, records=10_000, lines=5_000),
    ),
}
