"""What a deployment holds on to while it runs: sampled every few seconds, kept as JSON lines, judged to level off."""

from __future__ import annotations

import json
import os
import posixpath
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import requests
from hdfs import HdfsError

from deploy.cluster.errors import ClusterError
from tests.support.bed import Bed
from tests.support.worker import Worker

_KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one worker, or at the history (`life` 0)."""

    at_s: float  # since sampling began
    who: str
    life: int  # the process id
    values: Mapping[str, int]


class Tolerance(NamedTuple):
    """How much more the last third may have than the middle one, and still count as level."""

    share: float
    absolute: int

    def allows(self, before: float, after: float) -> bool:
        return after <= before * (1 + self.share) + self.absolute


# Of a process: memory is what allocators keep, never exactly level. Of a deployment: files come and go with each roll.
TOLERANCES: dict[str, Tolerance] = {
    "rss_bytes": Tolerance(0.10, 16 << 20),
    "file_handles": Tolerance(0.05, 6),
    "threads": Tolerance(0.0, 4),
    "state_bytes": Tolerance(0.25, 8 << 20),
    "temporary_files": Tolerance(0.25, 16),
    "temporary_bytes": Tolerance(0.25, 4 << 20),
    "upload_files": Tolerance(0.25, 32),
}
OF_PROCESSES = ("rss_bytes", "file_handles", "threads")
OF_DISKS = ("state_bytes", "temporary_files", "temporary_bytes")
# Records stay until so many are together that they are archived: a bound, not a level (sinks/history/commit.py).
MOST_COMMIT_RECORDS = 16 + 128 + 8  # of a partition; some more may come while the archive is written


def of_process(pid: int) -> dict[str, int]:
    """What a process holds. Raises: OSError when it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return {
        "rss_bytes": int(fields["VmRSS"].split()[0]) * _KIBIBYTE,
        "file_handles": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
    }


def of_data_dir(directory: Path) -> dict[str, int]:
    """RocksDB's files, and all others: upload buffers and whatever else a worker has put there."""
    found = {"state_bytes": 0, "temporary_files": 0, "temporary_bytes": 0}
    for folder, _, names in os.walk(directory):
        state = Path(folder).relative_to(directory).parts[:1] == ("tables",)
        for name in names:
            try:
                size = os.stat(os.path.join(folder, name)).st_size
            except FileNotFoundError:  # just now; that is what they are for
                continue
            found["state_bytes" if state else "temporary_bytes"] += size
            found["temporary_files"] += 0 if state else 1
    return found


def of_history(bed: Bed) -> dict[str, int]:
    """Uploads that lie about, and commit records of the partition that has most. Raises: what HDFS does."""
    counts = {}
    for name, folder in (("upload_files", "_sluice/tmp"), ("commit_records", "_sluice/commits")):
        path = posixpath.join(bed.root, folder)
        there = bed.hdfs.client.status(path, strict=False) is not None
        counts[name] = [len(names) for _, _, names in bed.hdfs.client.walk(path)] if there else []
    return {
        "upload_files": sum(counts["upload_files"]),
        "commit_records": max(counts["commit_records"], default=0),
    }


class Sampler:
    """Looks at every worker of a bed, and at its history, from a thread of its own; each look is a line in a file."""

    def __init__(self, bed: Bed, path: Path, every_s: float) -> None:
        self.path = path
        self.samples: list[Sample] = []
        self._bed = bed
        self._every_s = every_s
        self._began = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the sampler did not end"

    def _run(self) -> None:
        with self.path.open("a", buffering=1) as file:
            while not self._stop.wait(self._every_s):
                for sample in self._look():
                    self.samples.append(sample)
                    file.write(json.dumps(asdict(sample)) + "\n")

    def _look(self) -> list[Sample]:
        looks: list[tuple[str, int, Callable[[], dict[str, int]]]] = [("history", 0, lambda: of_history(self._bed))]
        for worker in self._bed.workers:
            pid = _pid(worker)
            if pid is not None:
                looks.append((worker.directory.name, pid, lambda worker=worker, pid=pid: self._of_worker(worker, pid)))  # type: ignore[misc]
        samples = []
        for who, life, look in looks:
            at_s = round(time.monotonic() - self._began, 2)
            try:
                samples.append(Sample(at_s, who, life, look()))
            except (OSError, KeyError, HdfsError, requests.RequestException):
                continue  # killed while it was looked at
        return samples

    def _of_worker(self, worker: Worker, pid: int) -> dict[str, int]:
        return {**of_process(pid), **of_data_dir(self._bed.data_dir(worker))}


def _pid(worker: Worker) -> int | None:
    try:
        return worker.pid
    except ClusterError:
        return None


def level(what: str, values: Sequence[float], tolerance: Tolerance) -> str | None:
    """What is wrong with a series, None where it levels off: medians of the middle and the last third are compared.

    Raises: AssertionError for a series that is too short to say anything.
    """
    third = len(values) // 3
    assert third, f"{what}: {len(values)} values say nothing"
    before, after = median(values[third : 2 * third]), median(values[-third:])
    if tolerance.allows(before, after):
        return None
    return f"{what} grows: {before:,.0f} in the middle third, {after:,.0f} in the last"


def leaks(
    samples: Sequence[Sample], steady: str, tolerances: Mapping[str, Tolerance] = TOLERANCES, *, young_s: float = 0.0
) -> list[str]:
    """Everything that does not level off.

    Of the worker `steady`, which is never killed, each sample counts, after `young_s`. Of the others each life counts
    as one value, its last look: a life that is longer or shorter than the others by chance says little by itself, so
    only what processes hold is compared. What lies on disks outlives processes, so there each sample counts.
    """
    old = [each for each in samples if each.at_s >= young_s]
    problems: list[str | None] = []
    for who in sorted({each.who for each in old}):
        mine = [each for each in old if each.who == who]
        if who == "history":
            uploads = [each.values["upload_files"] for each in mine]
            problems.append(level("history: upload_files", uploads, tolerances["upload_files"]))
            records = max(each.values["commit_records"] for each in mine)
            if records > MOST_COMMIT_RECORDS:
                problems.append(f"history: {records} commit records of a partition, {MOST_COMMIT_RECORDS} are the most")
            continue
        for name in OF_DISKS:
            problems.append(level(f"{who}: {name}", [each.values[name] for each in mine], tolerances[name]))
        lives = list({each.life: each for each in mine}.values())  # the last look at each
        for name in OF_PROCESSES:
            series = [each.values[name] for each in (mine if who == steady else lives)]
            if who == steady or len(series) >= 6:
                problems.append(level(f"{who}: {name}", series, tolerances[name]))
    return [problem for problem in problems if problem is not None]


def summary(samples: Sequence[Sample], steady: str) -> str:
    """The steady worker's numbers and the history's over the run: first, middle, last."""
    lines = []
    for who in (steady, "history"):
        mine = [each for each in samples if each.who == who]
        for name in mine[0].values if mine else ():
            first, middle, last = (mine[at].values[name] for at in (0, len(mine) // 2, -1))
            lines.append(f"{who:10} {name:16} first {first:>14,} middle {middle:>14,} last {last:>14,}")
    return "\n".join(lines)
