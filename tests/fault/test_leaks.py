"""Load, and a kill again and again: memory, file handles, threads, files and state level off, and nothing is lost."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bed import Bed
from tests.support.history_watch import HistoryWatch
from tests.support.load import Load
from tests.support.polling import PATIENCE_S, wait_until
from tests.support.resources import OF_DISKS, OF_PROCESSES, TOLERANCES, Sample, Sampler, Tolerance, leaks, summary
from tests.support.schedule import Timeline
from tests.support.worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

LONG_FROM_MINUTES = 10.0  # --fault-minutes; below it only the harness is tested
RUN_SHARE = 1.5  # 30 minutes for the 20 of `make test-fault`
SHORT_S = 30.0
LOOKS = 12  # at the least, however slow the machine is
RETENTION_S = 300  # so that windows expire for most of the long run: state has to level off too
STEADY = "worker-0"
# In half a minute everything still warms up.
OF_A_SHORT_RUN = {name: Tolerance(5.0, 200 << 20) for name in TOLERANCES}


def test_nothing_leaks_under_load_with_a_kill_a_minute(
    new_bed: Callable[..., Bed], fault_minutes: float, fault_seed: int, tmp_path: Path
) -> None:
    long = fault_minutes >= LONG_FROM_MINUTES
    run_s = fault_minutes * 60 * RUN_SHARE if long else SHORT_S
    every_s, kill_every_s = (5.0, 60.0) if long else (1.0, 8.0)
    pause_s = 0.2 if long else 0.05  # all of it is to fit into memory when it is judged
    print(f"--fault-seed {fault_seed} repeats this run")
    rng = random.Random(fault_seed)
    bed = new_bed(SLUICE_RETENTION_S=RETENTION_S, SLUICE_HISTORY_ROLL_INTERVAL_S=5 if long else 2)
    bed.start()
    sampler = Sampler(bed, tmp_path / "resources.jsonl", every_s)
    with HistoryWatch(bed.hdfs, bed.root) as watch, Load(bed.urls, pause_s=pause_s, timeout_s=5.0) as load:
        for each in bed.workers:
            each.wait_ready()
        with sampler:
            kill_now_and_then(bed.workers[1:], bed.timeline, rng, run_s, kill_every_s)
            wait_until(lambda: len(looks_at(STEADY, sampler)) >= LOOKS, PATIENCE_S, "looks enough to judge by")
        bed.settled()
        bed.judge(load, watch, windows_since_s=lambda: int(time.time()) - RETENTION_S // 2)
    print(f"{sampler.path}:\n{summary(sampler.samples, STEADY)}")
    found = leaks(sampler.samples, STEADY, TOLERANCES if long else OF_A_SHORT_RUN, young_s=run_s / 10)
    assert not found, "\n".join(found)
    the_harness_looked(sampler)
    for each in bed.workers:
        bed.stop(each)


def kill_now_and_then(
    workers: list[Worker], timeline: Timeline, rng: random.Random, run_s: float, kill_every_s: float
) -> None:
    """SIGKILL to one of them and a new start, once in each span of `kill_every_s`, at any moment of it."""
    began = time.monotonic()
    while (left_s := run_s - (time.monotonic() - began)) > 0:
        span_ends = time.monotonic() + min(kill_every_s, left_s)
        time.sleep(rng.uniform(0, min(kill_every_s, left_s)))
        worker = rng.choice(workers)
        worker.kill()
        worker.start(ready=False)
        timeline.note(f"killed    {worker.directory.name}, and started again")
        time.sleep(max(0.0, span_ends - time.monotonic()))


def looks_at(who: str, sampler: Sampler) -> list[Sample]:
    return [each for each in list(sampler.samples) if each.who == who]


def the_harness_looked(sampler: Sampler) -> None:
    """It saw every worker and several lives, and what it says of them is believable; a leak in it would be found."""
    steady = looks_at(STEADY, sampler)
    assert {each.who for each in sampler.samples} == {STEADY, "worker-1", "worker-2", "history"}
    assert len({each.life for each in steady}) == 1, "the steady worker was not steady"
    assert len({each.life for each in sampler.samples if each.who in ("worker-1", "worker-2")}) >= 4
    assert len(sampler.path.read_text().splitlines()) == len(sampler.samples)
    for each in steady[len(steady) // 2 :]:
        assert 20 << 20 < each.values["rss_bytes"] < 4 << 30
        assert each.values["file_handles"] > 10
        assert each.values["threads"] > 2
        assert each.values["state_bytes"] > 0
    assert max(each.values["commit_records"] for each in looks_at("history", sampler)) > 0
    for name in (*OF_PROCESSES, *OF_DISKS):
        leaking = [
            replace(each, values={**each.values, name: each.values[name] + number * (64 << 20)})
            for number, each in enumerate(steady)
        ]
        assert [problem for problem in leaks(leaking, STEADY) if problem.startswith(f"{STEADY}: {name} grows")]
