"""What `verify` says of a sound history, and of each way in which one can be unsound."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sinks.history import commit, layout
from sinks.history.codec import compress
from sinks.history.errors import SinkError
from sinks.history.memory import Fault, MemoryStorage
from sinks.history.report import VerifyReport
from sinks.history.storage import Body
from sinks.history.verify import verify
from tests.support.history import TOPIC, data_files, drive, in_another_thread, records, writer

END = 30


async def _history(tmp_path: Path, end: int = END) -> MemoryStorage:
    storage = MemoryStorage()
    await drive(storage, tmp_path, end)
    return storage


def _kinds(report: VerifyReport) -> list[str]:
    return sorted(problem.kind for part in report.partitions for problem in part.problems)


def _file(storage: MemoryStorage, first: int, kind: str = "catalina") -> str:
    return next(path for path in data_files(storage) if f"+{first:020d}+" in path and f"type={kind}/" in path)


async def test_nothing_is_well() -> None:
    report = await verify(MemoryStorage(), TOPIC, deep=True)
    assert report.well
    assert report.partitions == []


async def test_a_sound_history_is_well(tmp_path: Path) -> None:
    report = await verify(await _history(tmp_path), TOPIC, deep=True)
    assert report.well
    (part,) = report.partitions
    assert (part.first, part.last, part.rolls, part.files, part.rows, part.holes) == (0, END - 1, 3, 6, END, 0)
    assert json.loads(json.dumps(report.to_json()))["partitions"][0]["last"] == END - 1


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
@pytest.mark.parametrize("format_", ["jsonl", "text"])
async def test_every_format_is_read(tmp_path: Path, format_: str, compression: str) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path, format=format_, compression=compression)
    await history.recover()
    await history.append(records(5, 25))
    await history.commit()
    assert (await verify(storage, TOPIC, deep=True)).well
    path = _file(storage, 5)
    storage.files[path] = storage.files[path][:-1] + bytes([storage.files[path][-1] ^ 1])
    assert (await verify(storage, TOPIC)).well  # a look at sizes does not tell
    assert not (await verify(storage, TOPIC, deep=True)).well


async def test_archived_records_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "_KEPT", 2)
    monkeypatch.setattr(commit, "_ARCHIVED_AT_ONCE", 3)
    storage = await _history(tmp_path, 200)
    in_directory = storage.entries(layout.commits_directory(TOPIC, 0))
    archives = storage.entries(layout.archive_directory(TOPIC, 0))
    assert len(in_directory) < 5
    assert len(archives) == 6
    report = await verify(storage, TOPIC, deep=True)
    assert report.well
    assert report.partitions[0].rolls == 20
    assert report.partitions[0].rows == 200


async def test_holes_are_counted_and_well(tmp_path: Path) -> None:
    storage = MemoryStorage()
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append([*records(3, 6), *records(8, 10)])
    await history.commit()
    await history.append(records(14, 16))
    await history.commit()
    (part,) = (await verify(storage, TOPIC, deep=True)).partitions
    assert part.well
    assert (part.first, part.last, part.rows, part.holes) == (3, 15, 7, 6)


async def test_an_accepted_loss_is_on_record_and_well(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    history = writer(storage, tmp_path)
    await history.recover()
    assert await history.accept_loss(50, "a disk was lost") == 50
    await history.append(records(50, 60))
    assert await history.commit() == 60
    (part,) = (await verify(storage, TOPIC, deep=True)).partitions
    assert part.well
    assert [(loss.first, loss.last, loss.why) for loss in part.lost] == [(END, 49, "a disk was lost")]
    assert part.to_json()["lost"][0].keys() == {"first", "last", "accepted_at_ms", "why"}
    assert (part.first, part.last, part.rows, part.holes) == (0, 59, END + 10, 0)


async def test_a_missing_file(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    del storage.files[_file(storage, 10)]
    report = await verify(storage, TOPIC, deep=True)
    assert _kinds(report) == ["missing"]
    assert not report.well


async def test_an_unfinished_commit(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    view = MemoryStorage(storage)
    late = writer(view, tmp_path)
    await late.recover()
    await late.append(records(END, END + 10))
    view.fail("make_directory", Fault.REFUSED)
    with pytest.raises(SinkError):
        await late.commit()
    report = await verify(storage, TOPIC, deep=True)
    assert _kinds(report) == ["unfinished", "unfinished"]
    await writer(storage, tmp_path).recover()
    assert (await verify(storage, TOPIC, deep=True)).well


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (lambda content: content[:-5], ["size"]),
        (lambda content: content.replace(b"line 12", b"line 99"), ["checksum"]),
        (lambda content: content.replace(b'"offset":12', b'"offset":11'), ["checksum", "duplicate"]),
        (lambda content: content.replace(b'"offset":12', b'"offset":10'), ["rows"]),
        (lambda content: content.replace(b'"offset":12', b'"offset":77'), ["rows"]),
        (lambda content: content.replace(b'"partition":0', b'"partition":1'), ["rows"]),
        (lambda content: content.replace(b'"ts":17637', b'"ts":17000'), ["rows"]),
        (lambda content: b"x" * len(content), ["rows"]),
    ],
)
async def test_a_changed_file(tmp_path: Path, damage: Callable[[bytes], bytes], kinds: list[str]) -> None:
    storage = await _history(tmp_path)
    path = _file(storage, 10)
    storage.files[path] = damage(storage.files[path])
    assert _kinds(await verify(storage, TOPIC, deep=True)) == kinds


async def test_a_file_of_ours_that_no_record_knows(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    bucket = layout.Bucket("access_log", 490_000)
    copy = layout.data_path(bucket, TOPIC, 0, 5, 12, "jsonl", "gzip")
    storage.write(copy, Body([compress(b"{}\n", "gzip")]))
    assert _kinds(await verify(storage, TOPIC)) == ["duplicate", "duplicate", "foreign"]


async def test_files_of_others(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    storage.write("data/type=access_log/notes.txt", Body([b"?"]))
    report = await verify(storage, TOPIC)
    assert report.foreign == ["data/type=access_log/notes.txt"]
    assert not report.well


async def test_a_history_without_its_records_is_told_by_its_names(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    storage.delete("_sluice")
    for path in data_files(storage):
        if f"+{10:020d}+" in path:
            del storage.files[path]
    report = await verify(storage, TOPIC)
    assert _kinds(report) == ["foreign"] * 4 + ["gap"]
    assert ("gap", "10 to 19") in {(problem.kind, problem.where) for problem in report.partitions[0].problems}


async def test_a_record_that_cannot_be_read(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    path = layout.commit_path(TOPIC, 0, 10)
    storage.files[path] = b""
    report = await verify(storage, TOPIC)
    assert "record" in _kinds(report)
    assert any(problem.where == path for problem in report.partitions[0].problems)


async def test_rolls_that_come_while_it_looks_do_not_trouble_it(tmp_path: Path) -> None:
    """At every call of the look, a roll is committed."""
    for call in range(40):
        storage = await _history(tmp_path)
        view = MemoryStorage(storage)

        def commit_meanwhile(number: int, call: int = call, storage: MemoryStorage = storage) -> None:
            if number == call:
                storage_view = MemoryStorage(storage)
                in_another_thread(lambda: drive(storage_view, tmp_path / "live", END + 10))

        view.before_call = commit_meanwhile
        assert (await verify(view, TOPIC, deep=True)).well


async def test_one_partition_of_several(tmp_path: Path) -> None:
    storage = await _history(tmp_path)
    other = writer(storage, tmp_path, partition=3)
    await other.recover()
    await other.append(records(0, 4))
    await other.commit()
    assert [part.partition for part in (await verify(storage, TOPIC)).partitions] == [0, 3]
    (part,) = (await verify(storage, TOPIC, [3], deep=True)).partitions
    assert part.rows == 4
    assert (await verify(storage, "another-topic")).partitions == []
