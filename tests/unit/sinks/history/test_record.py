"""Commit records read back as they were written, and nothing else reads as one."""

from __future__ import annotations

import pytest

from sinks.history.record import CommitRecord, CommittedFile

FILE = CommittedFile("_sluice/tmp/a", "data/b", bytes=10, crc32=7, rows=2, first=5, last=8)
RECORD = CommitRecord("raw-log", 3, 5, 5, 9, 2, "0123", "host:1", False, (FILE, FILE._replace(target="data/c")))


def test_a_record_reads_back() -> None:
    line = RECORD.to_json()
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert CommitRecord.from_json(line) == RECORD


def test_an_accepted_loss_reads_back_and_only_such_a_record_says_more() -> None:
    loss = RECORD._replace(lost=True, files=(), rows=0, accepted_at_ms=1_763_726_400_000, why="a disk \x1b[1m was lost")
    assert CommitRecord.from_json(loss.to_json()) == loss
    assert b"why" not in RECORD.to_json()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 50,
        b"null",
        b"[]",
        b"{}",
        RECORD.to_json()[:-10],
        RECORD.to_json().replace(b'"version":1', b'"version":2'),
        RECORD.to_json().replace(b'"rows":2,"upload"', b'"lines":2,"upload"'),
        RECORD.to_json().replace(b'"crc32":7', b'"md5":7'),
    ],
)
def test_what_is_not_a_record_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"commit record|JSON|unexpected|input|empty"):
        CommitRecord.from_json(content)
