"""Everything at once in one worker, and how soon a post is seen."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bench.measure import usage
from bench.progress import drain, lags
from bench.result import Result
from bench.services import RAW_LOG, Services, running
from bench.wrk import load_http
from tests.support.worker import Worker

EVENTS_A_POST = 100
ROLL_S = 5


def everything(services: Services, per_s: int, connections: int, seconds: float) -> Iterator[Result]:
    """All roles in one worker at a steady rate: posts end as rows in HDFS and as requests in windows, exactly."""
    services.empty()
    directory, broker, hdfs = services.new_directory("everything"), services.broker, services.hdfs
    worker = Worker(
        directory,
        broker=broker.url,
        app_id=directory.name,
        history=hdfs.history_url(f"/{directory.name}"),
        settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": ROLL_S},
    )
    groups = [f"{directory.name}-monitor", f"{directory.name}-history"]
    with running(worker), ThreadPoolExecutor(1) as thread:
        before, posts_s = usage([worker]), per_s / EVENTS_A_POST
        posting = thread.submit(
            load_http, [f"{worker.url}/logCollect2"], connections, EVENTS_A_POST, seconds, per_s=posts_s
        )
        behind = lags(broker.bootstrap, RAW_LOG, groups, lambda: not posting.done())
        said, ended = posting.result(), time.monotonic()
        total, done = 0, []
        while total < (ends := sum(broker.end_offsets(RAW_LOG).values())):  # what wrk left under way still comes in
            total = ends
            done = [drain(broker.bootstrap, group, RAW_LOG, total, [worker], began=ended) for group in groups]
        assert said.posts <= total / EVENTS_A_POST <= said.posts + said.refused + connections, (
            f"{said.posts:,} posts, {total:,} events"
        )
        used = usage([worker])
        windows = sum(window["requests"] for window in worker.get_json("/api/access")["windows"])
    rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files(f"/{directory.name}/data"))
    hdfs.client.delete(f"/{directory.name}", recursive=True)
    assert windows == rows == total, f"{windows:,} in windows and {rows:,} rows of {total:,} events"
    counted, stored = (
        f"{_halves(behind[group])}, all done {each.seconds:.1f} s after the last post"
        for group, each in zip(groups, done, strict=True)
    )
    yield Result(
        "everything",
        f"{per_s:,} events/s, {EVENTS_A_POST} a post, for {seconds:.0f} s",
        "sluice",
        "Sluice, all roles in one worker",
        said.per_s * EVENTS_A_POST,
        "events/s",
        (used.cpu_s - before.cpu_s) / total * 1e6,
        used.peak_mb,
        f"rows and windows exact; monitor's {counted}; history's {stored}",
        said.p50_ms,
        said.p99_ms,
    )


def latency(services: Services, per_s: int, seconds: float) -> Iterator[Result]:
    """From the post to `access-log` (read_committed) and to `/api/access`, at a steady rate."""
    services.empty()
    directory = services.new_directory("latency")
    worker = Worker(directory, broker=services.broker.url, roles="ingest,monitor", app_id=directory.name)
    with running(worker):
        before = usage([worker])
        said = _program("bench.latency", worker.url, services.broker.bootstrap, per_s, seconds)
        after = usage([worker])
    total = int(said["events"])
    assert said["counted"] == said["forwarded"] == total, said
    cpu_us = (after.cpu_s - before.cpu_s) / total * 1e6
    for where in ("access-log", "/api/access"):
        seen = said[where]
        yield Result(
            "latency",
            f"post to {where}, {per_s:,} events/s",
            "sluice",
            "Sluice",
            said["per_s"],
            "events/s",
            cpu_us,
            after.peak_mb,
            f"all {total:,} seen, the latest after {seen['max_ms']:,.0f} ms",
            seen["p50_ms"],
            seen["p99_ms"],
        )


def _halves(lag: Sequence[int]) -> str:
    """Whether a lag grows."""
    middle = len(lag) // 2
    first, second = (statistics.median(half or [0]) for half in (lag[:middle], lag[middle:]))
    return f"lag {first:,.0f}, then {second:,.0f} (medians of both halves)"


def _program(module: str, *arguments: object) -> Any:
    ran = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{module} failed:\n{ran.stderr[-3000:]}")
    return json.loads(ran.stdout)
