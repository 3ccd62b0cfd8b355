"""What a look at a history found, for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal[
    "gap",  # no roll has these offsets
    "duplicate",  # these offsets are in two places
    "unfinished",  # committed, but not in data/ yet: the partition's next writer does that first thing
    "missing",  # committed, and nowhere
    "foreign",  # in data/, and no commit record knows it
    "size",  # not the length that was committed
    "checksum",  # the length, but not the bytes
    "rows",  # not the rows that were committed, or not where or in the order they belong
    "record",  # a commit record that can't be read
]


class AcceptedLoss(NamedTuple):
    """A range of offsets that will never be in the history, as an operator has decided."""

    first: int
    last: int
    accepted_at_ms: int
    why: str


class Problem(NamedTuple):
    """One thing that is not as it should be."""

    kind: Kind
    where: str  # a path, or a range of offsets
    text: str


@dataclass(slots=True)
class PartitionReport:
    """What there is of one partition. Counts are those of the commit records."""

    topic: str
    partition: int
    first: int | None = None  # offsets that the rolls span, None without a roll
    last: int | None = None
    rolls: int = 0
    files: int = 0
    rows: int = 0
    bytes: int = 0
    holes: int = 0  # offsets in rolls that no row has: transaction markers, compaction
    lost: list[AcceptedLoss] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def well(self) -> bool:
        """Whether every offset from first to last is there once, as it was committed, or its loss accepted."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "topic": self.topic,
            "partition": self.partition,
            "well": self.well,
            "first": self.first,
            "last": self.last,
            "rolls": self.rolls,
            "files": self.files,
            "rows": self.rows,
            "bytes": self.bytes,
            "holes": self.holes,
            "lost": [loss._asdict() for loss in self.lost],
            "problems": [problem._asdict() for problem in self.problems],
        }


@dataclass(slots=True)
class VerifyReport:
    """What there is of a history."""

    partitions: list[PartitionReport] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)  # files in data/ whose names are none of ours

    @property
    def well(self) -> bool:
        """Whether all partitions are well and nothing else lies in data/."""
        return not self.foreign and all(partition.well for partition in self.partitions)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "well": self.well,
            "partitions": [partition.to_json() for partition in self.partitions],
            "foreign": self.foreign,
        }
