"""Schedules of faults: drawn by a seed, never two of one area at once, all healed, every step on the timeline."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.schedule import Fault, Timeline, draw, run

Log = list[tuple[str, str]]


def fault(name: str, area: str, hold_s: float = 0.0) -> Fault[Log]:
    def inject(log: Log, rng: random.Random) -> tuple[str, Callable[[], None]]:
        log.append(("broken", name))
        return f"part {rng.randrange(1000)}", lambda: log.append(("healed", name))

    return Fault(name, area, (hold_s, hold_s), inject)


FAULTS = [fault(str(number), "area") for number in range(10)]


@pytest.fixture(autouse=True)
def no_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults follow each other at once."""
    monkeypatch.setattr("tests.support.schedule._GAP_S", (0.0, 0.0))


def test_a_seed_repeats_its_schedule_and_another_has_another() -> None:
    once, again, other = ([each.name for each in draw(FAULTS, random.Random(seed), 25)] for seed in (1, 1, 2))
    assert once == again != other


def test_each_fault_comes_once_before_any_comes_again() -> None:
    names = [each.name for each in draw(FAULTS, random.Random(3), 25)]
    assert len(names) == 25
    assert set(names[:10]) == set(names[10:20]) == {each.name for each in FAULTS}


def test_faults_of_one_area_do_not_overlap_and_all_are_healed(tmp_path: Path) -> None:
    log: Log = []
    faults = [fault("long", "one", 0.5), fault("waits", "one")]
    run(faults, log, random.Random(1), Timeline(tmp_path / "timeline.txt"))
    assert log == [("broken", "long"), ("healed", "long"), ("broken", "waits"), ("healed", "waits")]


def test_faults_of_two_areas_overlap(tmp_path: Path) -> None:
    log: Log = []
    run([fault("long", "one", 0.5), fault("beside", "two")], log, random.Random(1), Timeline(tmp_path / "t"))
    assert log == [("broken", "long"), ("broken", "beside"), ("healed", "beside"), ("healed", "long")]


def test_the_timeline_is_in_its_file_at_once_also_when_a_fault_raises(tmp_path: Path) -> None:
    def broken(_log: Log, _rng: random.Random) -> tuple[str, Callable[[], None]]:
        raise RuntimeError("it does not even break")

    timeline = Timeline(tmp_path / "new" / "timeline.txt")
    faults = [fault("first", "one"), Fault("second", "one", (0.0, 0.0), broken)]
    with pytest.raises(RuntimeError):
        run(faults, [], random.Random(1), timeline)
    injected, healed = str(timeline).splitlines()
    assert "injected  first (part " in injected
    assert "healed    first (part " in healed
    assert timeline.path.read_text() == str(timeline)
