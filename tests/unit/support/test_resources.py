"""Resources are counted right, and a series that grows is told from one that is level."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tests.support.resources import MOST_COMMIT_RECORDS, Sample, Tolerance, leaks, level, of_data_dir, of_process

STRICT = Tolerance(0.0, 0)
CALM = {"rss_bytes": 300 << 20, "file_handles": 60, "threads": 20}
CALM_DISK = {"state_bytes": 30 << 20, "temporary_files": 4, "temporary_bytes": 1 << 20}
CALM_HISTORY = {"upload_files": 4, "commit_records": 100}


def run_of(changes: dict[str, dict[str, int]], looks: int = 60) -> list[Sample]:
    """A calm run: a steady worker, one that is killed every five looks, a history; each grows by `changes` a look."""
    samples = []
    for at in range(looks):
        for who, life, calm in (
            ("steady", 1, CALM | CALM_DISK),
            ("killed", 2 + at // 5, CALM | CALM_DISK),
            ("history", 0, CALM_HISTORY),
        ):
            values = {name: value + at * changes.get(who, {}).get(name, 0) for name, value in calm.items()}
            samples.append(Sample(float(at), who, life, values))
    return samples


def test_a_process_is_counted() -> None:
    before = of_process(os.getpid())
    assert before["rss_bytes"] > 10 << 20
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(60,))
    with open(os.devnull) as _one, open(os.devnull) as _two:
        thread.start()
        during = of_process(os.getpid())
        done.set()
        thread.join()
    assert during["file_handles"] == before["file_handles"] + 2
    assert during["threads"] == before["threads"] + 1
    with pytest.raises(OSError, match="No such file"):
        of_process(4_194_305)  # pids end below it


def test_a_data_directory_is_counted(tmp_path: Path) -> None:
    for name, size in (("tables/000001.sst", 100), ("tables/deep/LOG", 10), ("history/a.part", 7), ("lock", 1)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert of_data_dir(tmp_path) == {"state_bytes": 110, "temporary_files": 2, "temporary_bytes": 8}


@pytest.mark.parametrize(
    ("values", "is_level"),
    [
        ([9, 1, 5, 5, 5, 5, 5, 9, 5], True),  # one look says nothing: medians
        ([0, 0, 0, 9, 9, 9, 9, 9, 9], True),  # it has warmed up
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], False),
        ([5, 5, 5, 5, 5, 5, 6, 6, 6], False),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1], True),
    ],
)
def test_a_series_is_level_where_its_last_third_is_as_its_middle(values: list[int], is_level: bool) -> None:
    assert (level("it", values, STRICT) is None) == is_level


def test_a_tolerance_is_a_share_and_a_number() -> None:
    assert Tolerance(0.1, 5).allows(100, 115)
    assert not Tolerance(0.1, 5).allows(100, 116)


def test_a_series_that_is_too_short_says_nothing() -> None:
    with pytest.raises(AssertionError, match="2 values say nothing"):
        level("it", [1, 2], STRICT)


def test_a_calm_run_has_no_leaks() -> None:
    assert leaks(run_of({}), "steady") == []


@pytest.mark.parametrize(
    ("who", "name", "grows_by"),
    [
        ("steady", "rss_bytes", 4 << 20),
        ("steady", "file_handles", 1),
        ("steady", "threads", 1),
        ("steady", "state_bytes", 2 << 20),
        ("steady", "temporary_files", 2),
        ("steady", "temporary_bytes", 1 << 20),
        ("killed", "rss_bytes", 4 << 20),
        ("killed", "state_bytes", 2 << 20),
        ("history", "upload_files", 4),
    ],
)
def test_each_leak_is_found_and_named(who: str, name: str, grows_by: int) -> None:
    (found,) = leaks(run_of({who: {name: grows_by}}), "steady")
    assert found.startswith(f"{who}: {name} grows: ")


def test_too_many_commit_records_are_found() -> None:
    (found,) = leaks(run_of({"history": {"commit_records": 1}}), "steady")
    assert found == f"history: 159 commit records of a partition, {MOST_COMMIT_RECORDS} are the most"


def test_what_grows_only_while_it_is_young_is_no_leak() -> None:
    samples = [
        Sample(each.at_s, each.who, each.life, {**each.values, "threads": min(int(each.at_s), 20)})
        if each.who == "steady"
        else each
        for each in run_of({})
    ]
    assert leaks(samples, "steady", young_s=20.0) == []
