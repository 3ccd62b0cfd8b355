"""What every storage must do, and what the writer must do on every storage: written once, run on each.

A test class inherits a suite and gives it a fixture `storage`, empty and its own.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sinks.history import layout
from sinks.history.errors import BufferLost, RollAlreadyExists, StorageRefused
from sinks.history.storage import Body, Entry, Segment, Storage
from sinks.history.verify import verify
from tests.support.history import (
    NOON_MS,
    TOPIC,
    FakeRecord,
    assert_exactly,
    data_files,
    drive,
    list_names,
    records,
    rows,
    writer,
)

NAMES = [
    "type=a%2Fb",
    "type=%C3%BC",
    "type=%25",
    "type=%252F",
    "type=a+b",
    "type=..",
    "type=%20%0A%00",
    "type=%23LATEST",
    "raw-log+0+00000000000000000000+00000000000000000001.jsonl.gz",
    "t" * 255,
]

HOSTILE_TYPES = [
    b"a/b",
    b"..",
    b"../../../etc/passwd",
    "ü".encode(),
    b"%2F",
    b"a+b=c d",
    b"\x00\xff",
    b"#LATEST",
    b"<script>",
    b"x" * 1000,
    b"/" * 1000,
    b"",
]


class StorageSuite:
    """A storage."""

    def test_what_is_written_is_there(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "spill").write_bytes(b"0123456789")
        body = Body([b"first ", b"", Segment(tmp_path / "spill", 2, 5), b" last"])
        assert len(body) == 16
        storage.write("a/b/c", body)
        storage.write("a/b/empty", Body([]))
        assert storage.read("a/b/c") == b"".join(storage.chunks("a/b/c")) == b"first 23456 last"
        assert storage.read("a/b/empty") == b""
        assert sorted(storage.entries("a/b")) == [Entry("c", 16, False), Entry("empty", 0, False)]
        assert storage.entries("a") == [Entry("b", 0, True)]
        assert storage.exists("a/b/c")
        assert storage.exists("a/b")

    def test_a_large_file_comes_through(self, storage: Storage, tmp_path: Path) -> None:
        content = bytes(range(256)) * 20_000
        (tmp_path / "spill").write_bytes(content)
        storage.write("large", Body([Segment(tmp_path / "spill", 0, len(content)), content]))
        assert storage.read("large") == content * 2
        assert storage.entries(".") == [Entry("large", 2 * len(content), False)]

    def test_what_is_not_there_is_told(self, storage: Storage) -> None:
        assert storage.entries("none") == []
        assert storage.read("none") is None
        assert not storage.exists("none")
        with pytest.raises(StorageRefused):
            list(storage.chunks("none"))
        storage.delete("none")

    def test_a_write_replaces_nothing(self, storage: Storage) -> None:
        storage.write("a/file", Body([b"old"]))
        with pytest.raises(StorageRefused):
            storage.write("a/file", Body([b"new"]))
        assert storage.read("a/file") == b"old"

    def test_a_rename_moves(self, storage: Storage) -> None:
        storage.write("a/file", Body([b"content"]))
        storage.make_directory("b/c")
        storage.make_directory("b/c")
        storage.rename("a/file", "b/c/file")
        assert storage.read("b/c/file") == b"content"
        assert not storage.exists("a/file")

    def test_a_refused_rename_changes_nothing(self, storage: Storage) -> None:
        storage.write("a/one", Body([b"1"]))
        storage.write("a/two", Body([b"2"]))
        for source, target in [("a/one", "a/two"), ("a/none", "a/three"), ("a/one", "none/one"), ("a/none", "a/two")]:
            with pytest.raises(StorageRefused):
                storage.rename(source, target)
        assert storage.read("a/one") == b"1"
        assert storage.read("a/two") == b"2"
        assert len(storage.entries("a")) == 2
        assert not storage.exists("none")

    def test_of_many_renames_to_one_name_one_succeeds(self, storage: Storage) -> None:
        for number in range(8):
            storage.write(f"from/{number}", Body([b"%d" % number]))
        storage.make_directory("to")

        def rename(number: int) -> int | None:
            try:
                storage.rename(f"from/{number}", "to/file")
            except StorageRefused:
                return None
            return number

        with ThreadPoolExecutor(8) as executor:
            winners = [number for number in executor.map(rename, range(8)) if number is not None]
        assert len(winners) == 1
        assert storage.read("to/file") == b"%d" % winners[0]
        assert {entry.name for entry in storage.entries("from")} == {str(n) for n in range(8)} - {str(winners[0])}

    def test_a_tree_is_deleted(self, storage: Storage) -> None:
        storage.write("a/b/c", Body([b"x"]))
        storage.write("ab", Body([b"x"]))
        storage.delete("a")
        assert not storage.exists("a")
        storage.delete("ab")
        assert storage.entries(".") == []

    @pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
    def test_any_name_of_the_layout_works(self, storage: Storage, name: str) -> None:
        storage.write(f"tmp/{name}", Body([b"x"]))
        storage.make_directory(f"data/{name}")
        storage.rename(f"tmp/{name}", f"data/{name}/{name}")
        assert storage.entries("data") == [Entry(name, 0, True)]
        assert storage.entries(f"data/{name}") == [Entry(name, 1, False)]
        assert storage.read(f"data/{name}/{name}") == b"x"
        assert storage.exists(f"data/{name}/{name}")
        storage.delete(f"data/{name}")
        assert storage.entries("data") == []

    def test_a_body_that_vanished_is_told(self, storage: Storage, tmp_path: Path) -> None:
        (tmp_path / "short").write_bytes(b"123")
        for path in (tmp_path / "short", tmp_path / "none"):
            with pytest.raises(BufferLost, match=path.name):
                storage.write(f"a/{path.name}", Body([b"begin", Segment(path, 0, 10)]))


class WriterSuite:
    """A writer on a storage."""

    async def test_rolls_follow_on_one_another(self, storage: Storage, tmp_path: Path) -> None:
        await drive(storage, tmp_path, 25)
        await drive(storage, tmp_path, 42)
        assert_exactly(storage, 42)
        assert (await verify(storage, TOPIC, deep=True)).well
        assert storage.entries(layout.uploads_directory(TOPIC, 0)) == []

    @pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
    async def test_spilled_buffers_come_through(self, storage: Storage, tmp_path: Path, compression: str) -> None:
        history = writer(storage, tmp_path, compression=compression, memory_bytes=1, parallel=4)
        assert await history.recover() is None
        for first in range(0, 100, 5):
            await history.append(records(first, first + 5))
        assert list_names(tmp_path)
        assert await history.commit() == 100
        assert not list_names(tmp_path)
        assert_exactly(storage, 100)
        assert (await verify(storage, TOPIC, deep=True)).well

    async def test_hostile_types_stay_in_their_directories(self, storage: Storage, tmp_path: Path) -> None:
        history = writer(storage, tmp_path)
        await history.recover()
        batch = [FakeRecord(number, b"x", (("type", kind),)) for number, kind in enumerate(HOSTILE_TYPES)]
        await history.append(batch)
        assert await history.commit() == len(batch)
        found = {row["offset"] for row in rows(storage)}
        assert found == set(range(len(batch)))
        assert {entry.name for entry in storage.entries(".")} == {"data", "_sluice"}
        expected = {layout.escape_type(kind) for kind in HOSTILE_TYPES}
        assert {entry.name for entry in storage.entries("data")} == {f"type={kind}" for kind in expected}
        assert (await verify(storage, TOPIC, deep=True)).well

    async def test_a_roll_of_many_files(self, storage: Storage, tmp_path: Path) -> None:
        with ThreadPoolExecutor(4) as executor:
            history = writer(storage, tmp_path, executor=executor, parallel=4, max_files=50, memory_bytes=200)
            await history.recover()
            for first in range(0, 60, 10):
                batch = range(first, first + 10)
                await history.append([FakeRecord(n, b"x", (("type", b"t%d" % n),), NOON_MS) for n in batch])
            assert history.roll_due()
            assert await history.commit() == 60
        assert len(data_files(storage)) == 60
        assert (await verify(storage, TOPIC, deep=True)).well

    async def test_of_two_writers_one_gets_each_range(self, storage: Storage, tmp_path: Path) -> None:
        await drive(storage, tmp_path, 10)
        one, other = (writer(storage, tmp_path / name) for name in ("one", "other"))
        for history, end in ((one, 20), (other, 15)):
            assert await history.recover() == 10
            await history.append(records(10, end))
        assert await one.commit() == 20
        with pytest.raises(RollAlreadyExists):
            await other.commit()
        assert await other.recover() == 20
        await other.append(records(20, 30))
        assert await other.commit() == 30
        assert_exactly(storage, 30)
        assert storage.entries(layout.uploads_directory(TOPIC, 0)) == []
        assert (await verify(storage, TOPIC, deep=True)).well
