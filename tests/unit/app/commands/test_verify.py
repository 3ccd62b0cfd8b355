"""What the history and Kafka may disagree about."""

from __future__ import annotations

import pytest

from app.brokers import Position
from app.commands.verify import compare
from sinks.history.report import PartitionReport, VerifyReport


def kinds(part: PartitionReport | None, at: Position | None, end: int | None = None) -> list[tuple[str, str]]:
    report = VerifyReport([] if part is None else [part])
    positions = {} if at is None else {0: at}
    ends = {} if at is None else {0: at.end if end is None else end}
    return [(problem.kind, problem.where) for problem in compare(report, positions, ends)[0]]


def part(first: int | None, last: int | None) -> PartitionReport:
    return PartitionReport("raw-log", 0, first=first, last=last)


@pytest.mark.parametrize(
    ("written", "kafka"),
    [
        (part(0, 99), Position(committed=100, begin=0, end=100)),
        (part(0, 99), Position(committed=100, begin=60, end=150)),  # behind, and retention is not there yet
        (part(0, 99), Position(committed=80, begin=100, end=150)),  # Kafka's offset only follows
        (part(40, 99), Position(committed=None, begin=40, end=100)),
        (part(None, None), Position(committed=None, begin=0, end=0)),
        (None, Position(committed=None, begin=0, end=10)),  # nothing is written yet
        (None, Position(committed=0, begin=0, end=10)),
    ],
)
def test_they_agree(written: PartitionReport | None, kafka: Position) -> None:
    assert kinds(written, kafka) == []


@pytest.mark.parametrize(
    ("written", "kafka", "problem"),
    [
        (part(0, 99), Position(committed=100, begin=120, end=150), ("gap", "100 to 119")),
        (part(0, 99), Position(committed=130, begin=0, end=150), ("gap", "100 to 129")),
        (part(10, 99), Position(committed=100, begin=0, end=100), ("gap", "0 to 9")),
        (part(0, 99), Position(committed=None, begin=0, end=50), ("foreign", "50 to 99")),
        (None, Position(committed=30, begin=0, end=50), ("gap", "0 to 29")),
        (part(None, None), Position(committed=30, begin=0, end=50), ("gap", "0 to 29")),
        (part(0, 99), None, ("foreign", "the whole partition")),
    ],
)
def test_they_do_not(written: PartitionReport | None, kafka: Position | None, problem: tuple[str, str]) -> None:
    assert kinds(written, kafka) == [problem]


def test_what_was_written_while_looking_is_no_problem() -> None:
    assert kinds(part(0, 99), Position(committed=50, begin=0, end=60), end=100) == []
