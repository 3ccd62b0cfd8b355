"""Everything at once in one worker, and how soon a post is seen."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import services
from bench.measure import usage
from bench.progress import drain
from bench.result import SLUICE, Result
from tests.support.worker import Worker


def everything(directory: Path, *, posts: int, events: int, connections: int) -> Iterator[Result]:
    """All roles in one worker: posts end as rows in HDFS and as requests in windows, exactly."""
    total = posts * events
    with services.kafka(directory) as broker, services.hdfs(directory) as hdfs:
        worker = Worker(
            directory / "worker",
            broker=broker.url,
            history=hdfs.history_url("/bench"),
            settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 5},
        )
        with services.running(worker):
            before = usage(worker.pid)
            began = time.monotonic()
            said = _program("bench.http_load", worker.url, posts, connections, events)
            posted_s = time.monotonic() - began
            for group in ("sluice-monitor", "sluice-history"):
                drain(broker.bootstrap, group, services.RAW_LOG, total, alive=lambda: worker.running, deadline_s=300)
                if group == "sluice-monitor":
                    counted_s = time.monotonic() - began
            stored_s = time.monotonic() - began
            after = usage(worker.pid)
            windows = sum(window["requests"] for window in worker.get_json("/api/access")["windows"])
        rows = sum(hdfs.read(path).count(b"\n") for path in hdfs.files("/bench/data"))
        assert windows == rows == total, f"{windows} in windows and {rows} rows of {total} events"
    note = (
        f"posted in {posted_s:.1f} s (p99 {said['p99_ms']} ms), counted {counted_s - posted_s:.1f} s later, "
        f"all in HDFS {stored_s - posted_s:.1f} s later; rows and windows exact"
    )
    load = f"{posts:,} posts of {events}, {connections:,} connections"
    cpu_us = (after.cpu_s - before.cpu_s) / total * 1e6
    yield Result("everything", SLUICE, load, total / counted_s, "events/s", cpu_us, after.peak_mb, note)


def latency(directory: Path, *, per_s: int, seconds: float) -> Iterator[Result]:
    """From the post to `access-log` (read_committed) and to `/api/access`, at a steady rate."""
    with services.kafka(directory) as broker:
        worker = Worker(directory / "worker", broker=broker.url, roles="ingest,monitor")
        with services.running(worker):
            before = usage(worker.pid)
            said = _program("bench.latency", worker.url, broker.bootstrap, per_s, seconds)
            after = usage(worker.pid)
    total = int(str(said["events"]))
    assert said["counted"] == said["forwarded"] == total, said
    cpu_us = (after.cpu_s - before.cpu_s) / total * 1e6
    for where in ("access-log", "/api/access"):
        seen = said[where]
        assert isinstance(seen, dict)
        note = f"p50 {seen['p50_ms']} ms, p99 {seen['p99_ms']} ms, largest {seen['max_ms']} ms; all seen"
        load = f"post to {where}, {per_s:,} events/s"
        yield Result("latency", SLUICE, load, total / seconds, "events/s", cpu_us, after.peak_mb, note)


def _program(module: str, *arguments: object) -> dict[str, object]:
    ran = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True, timeout=900, check=False
    )
    if ran.returncode != 0:
        raise RuntimeError(f"{module} failed:\n{ran.stderr[-3000:]}")
    said: dict[str, object] = json.loads(ran.stdout)
    return said
