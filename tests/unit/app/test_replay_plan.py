"""Which roots a replay may write into."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import RootInUse
from app.replay_plan import PLAN, ReplayPlan, found_plan, keep_plan, same_place
from config.addresses import history_location
from sinks.history.local import LocalStorage
from sinks.history.storage import Body

ASKED = "--from earliest as jsonl, gzip"
PLANNED = ReplayPlan("raw-log", ASKED, {0: (5, 10), 3: (0, 7)})


def test_a_fresh_root_has_no_plan(tmp_path: Path) -> None:
    assert found_plan(LocalStorage(tmp_path), "root", ASKED) is None


def test_the_same_replay_is_continued_with_the_offsets_that_it_began_with(tmp_path: Path) -> None:
    keep_plan(LocalStorage(tmp_path), "root", PLANNED)

    assert found_plan(LocalStorage(tmp_path), "root", ASKED) == PLANNED


def test_another_replay_needs_another_root(tmp_path: Path) -> None:
    keep_plan(LocalStorage(tmp_path), "root", PLANNED)

    with pytest.raises(RootInUse, match="holds another replay"):
        found_plan(LocalStorage(tmp_path), "root", "--from 5 as jsonl, gzip")


@pytest.mark.parametrize("what", ["_sluice/commits/raw-log+0/00000000000000000000.json", "data/type=a/x.jsonl"])
def test_a_root_with_a_history_is_refused(tmp_path: Path, what: str) -> None:
    storage = LocalStorage(tmp_path)
    storage.write(what, Body([b"{}"]))

    with pytest.raises(RootInUse, match="already holds a history"):
        found_plan(storage, "root", ASKED)


def test_of_two_that_begin_at_once_one_is_refused(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    keep_plan(storage, "root", PLANNED)

    with pytest.raises(RootInUse, match="another replay into root has just begun"):
        keep_plan(storage, "root", PLANNED)
    assert [entry.name for entry in storage.entries("_sluice")] == ["replay.json"]


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"stretches": 3}', b'{"topic": 1, "asked": 2}'])
def test_a_plan_that_can_not_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    storage = LocalStorage(tmp_path)
    storage.write(PLAN, Body([content]))

    with pytest.raises(RootInUse, match="can't be read"):
        found_plan(storage, "root", ASKED)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("file:///srv/a", "file:///srv/b", False),
        ("file:///srv/a", "file:///srv/ab", False),
        ("file:///srv/a", "file:///srv/a/", True),
        ("file:///srv/a", "file:///srv/b/../a", True),
        ("file:///srv/a/inner", "file:///srv/a", True),
        ("file:///srv/a", "file:///srv/a/inner", True),
        ("file:///srv/a", "webhdfs://nn/srv/a", False),
        ("webhdfs://u@nn1;nn2/logs", "webhdfs://nn2/logs", True),
        ("webhdfs://nn1/logs", "webhdfs://nn2/logs", False),
        ("webhdfs://nn1/logs", "webhdfs://nn1/logs/replay", True),
        ("webhdfs://nn1/logs", "webhdfs://nn1/logs-replay", False),
    ],
)
def test_roots_that_lie_within_one_another(one: str, other: str, same: bool) -> None:
    assert same_place(history_location(one), history_location(other)) is same


def test_a_link_to_the_history_is_the_history(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "history")

    assert same_place(history_location(f"file://{tmp_path}/link"), history_location(f"file://{tmp_path}/history"))
