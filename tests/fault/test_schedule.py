"""Everything breaks in random order, two things at a time, under load: whatever the schedule, the oracle is content."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import pytest

from tests.support.bed import Bed
from tests.support.faults import faults
from tests.support.history_watch import HistoryWatch
from tests.support.load import Load
from tests.support.schedule import draw, run

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

SHORT = 4  # faults of the round in `make test`


def test_a_random_schedule_of_faults_under_load(
    new_bed: Callable[[], Bed], fault_schedule: Iterator[random.Random], fault_minutes: float
) -> None:
    """A round: 1 worker, 3, faults, 1 worker. The long run draws every fault once a round, and goes on by rounds."""
    pause_s = 0.1 if fault_minutes else 0.05  # a long round is to fit into memory when it is judged
    for number, rng in enumerate(fault_schedule):
        bed = new_bed()
        known = faults(long=fault_minutes >= 15 and number == 0)
        drawn = draw(known, rng, len(known) if fault_minutes else SHORT)
        bed.timeline.note(f"round {number}: {', '.join(fault.name for fault in drawn)}")
        bed.start()
        with HistoryWatch(bed.hdfs, bed.root) as watch, Load(bed.urls, pause_s=pause_s, timeout_s=5.0) as load:
            run(drawn, bed, rng, bed.timeline)
            bed.settled()
            for each in bed.workers[1:]:
                bed.stop(each)
            bed.timeline.note("scaled    in to one worker")
            oracle = bed.judge(load, watch)
        bed.hdfs.client.delete(bed.root, recursive=True)
        assert len(oracle.raw) > 500, "there was next to no load"
        bed.workers[0].stop()
