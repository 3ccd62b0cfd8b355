"""`python -m bench`: which runs are made, what is kept of them, and what happens when one fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.__main__ as program
from bench.cases import Case
from bench.result import Result
from bench.services import Services


def result(case: str, per_s: float) -> Result:
    return Result(case, "a lot", "sluice", "Sluice", per_s, "records/s", 10.0, 100.0, "all arrived")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two cases in place of the real ones, the first of which fails after a result; what ran is noted."""
    ran: list[str] = []

    def fails(services: Services) -> Iterator[Result]:
        ran.append("fails")
        yield result("fails", 1.0)
        raise RuntimeError("10 of 1,000 after 120 s")

    def works(services: Services) -> Iterator[Result]:
        ran.append("works")
        yield result("works", 1000.0 * len(ran))

    monkeypatch.setattr(program, "CASES", {"fails": Case(fails, fails, most_rounds=1), "works": Case(works, works)})
    return ran


def test_a_case_that_fails_does_not_take_the_others_along(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "made" / "runs.json"
    assert program.main(["--rounds", "2", "--json", str(kept)]) == 1
    assert made == ["fails", "works", "works"]
    told = capsys.readouterr()
    assert "10 of 1,000 after 120 s" in told.err
    assert "failed: fails, round 1 of 1" in told.err
    assert "| works: Sluice | a lot | 2,500 records/s (2,000 to 3,000) |" in told.out
    assert [each["case"] for each in json.loads(kept.read_text())["results"]] == ["fails", "works", "works"]

    assert program.main(["--markdown", str(kept)]) == 0
    assert capsys.readouterr().out == told.out


def test_only_what_was_named_runs_and_short_is_one_round(made: list[str]) -> None:
    assert program.main(["works", "--short", "--rounds", "5"]) == 0
    assert made == ["works"]


def test_a_case_that_does_not_exist_is_told(made: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        program.main(["nothing"])
    assert "there is no case nothing; the cases are fails, works" in capsys.readouterr().err
    assert made == []
