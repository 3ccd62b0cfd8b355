"""The fuzz programs: each parser for a moment, and a harness that finds what is put there to be found."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import engine
from tests.fuzz.engine import Target, fuzz
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parents[2]
SECONDS = 0.7


@pytest.mark.parametrize("name", TARGETS)
def test_a_moment_of_each_parser(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A megabyte takes a parser up to 0.3 s here. What grows with the square of it takes minutes, on any machine.
    monkeypatch.setattr(engine, "MAX_CPU_S", 3.0)
    report = fuzz(TARGETS[name], SECONDS, seed=11)
    assert report.inputs >= len(TARGETS[name].samples)
    assert report.outcomes > 1
    assert not report.findings


def test_it_finds_an_error_that_is_not_documented() -> None:
    def check(data: bytes) -> int:
        return 1 // (len(data) - 5)

    report = fuzz(Target("broken", [b"12345678"], check), 3.0, seed=1)
    assert [finding.what.partition(" ")[0] for finding in report.findings] == ["ZeroDivisionError"]
    assert len(report.findings[0].data) == 5


def test_it_finds_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "MAX_CPU_S", 0.05)
    square = re.compile(rb"\w*!")
    report = fuzz(
        Target("slow", [b"aaaa aaa"], lambda data: square.search(data) is None, max_bytes=20_000), 1.5, seed=1
    )
    assert report.findings
    assert "CPU" in report.findings[0].what


def test_it_ends_what_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HANGS_AFTER_S", 0.2)
    endless = re.compile(rb"(a+)+b")
    report = fuzz(Target("endless", [b"a" * 60], lambda data: endless.match(data) is None), 0.0, seed=1)
    assert [finding.what.partition(" ")[0] for finding in report.findings] == ["Hang"]


def test_the_same_seed_gives_the_same_inputs() -> None:
    first, again, other = (Mutator([b"sample one", b"two"], seed) for seed in (7, 7, 8))
    inputs = [first.next() for _ in range(2_000)]
    assert inputs == [again.next() for _ in range(2_000)]
    assert inputs != [other.next() for _ in range(2_000)]
    assert len(set(inputs)) > 1_000
    assert max(map(len, inputs)) >= 2_000


def test_the_program_says_what_it_did_and_keeps_what_it_found(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "flume", "--minutes", "0.005", "--keep", str(tmp_path / "kept")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert ended.returncode == 0, ended.stderr
    assert re.match(r"flume: \d+ inputs in \d+ s \(\d+/s\), \d+ kinds of outcome, .* 0 findings\n", ended.stdout)
    assert not (tmp_path / "kept").exists()
