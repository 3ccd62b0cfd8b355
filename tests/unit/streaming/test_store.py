"""The local state: atomic, disposable, one owner."""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from streaming.errors import StoreLocked, StoreLost, StoreUnusable, StoreUnwritable
from streaming.store import MAX_SLEEP_MS, PartitionStore, Store


def test_changes_and_position_survive_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.partition(3).apply({b"a": b"1", b"b": b"2"}, 10)
    store.partition(3).apply({b"a": None}, 12)
    store.close()
    again = Store(tmp_path / "tables")
    partition = again.partition(3)
    assert (partition.get(b"a"), partition.get(b"b"), partition.position()) == (None, b"2", 12)
    again.close()


def test_partitions_do_not_see_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.partition(0).apply({b"k": b"0"}, 1)
    store.partition(1).apply({b"k": b"1"}, 1)
    store.partition(256).apply({b"k": b"256"}, 1)
    assert list(store.partition(0).range(b"a", b"z")) == [(b"k", b"0")]
    store.partition(0).clear()
    assert store.partition(0).position() is None
    assert store.partition(1).get(b"k") == b"1"
    assert store.partition(256).get(b"k") == b"256"
    store.close()


def test_a_range_is_in_byte_order_and_half_open(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    partition = store.partition(0)
    partition.apply({bytes([n]): b"%d" % n for n in (9, 1, 200, 5)}, 4)
    assert [key for key, _ in partition.range(b"\x01", b"\xc8")] == [b"\x01", b"\x05", b"\x09"]
    store.close()


def test_a_second_process_is_told_to_take_its_own_directory(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    with pytest.raises(StoreLocked, match="SLUICE_DATA_DIR"):
        Store(tmp_path / "tables")
    store.close()


def test_a_broken_database_is_set_aside_and_built_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.partition(0).apply({b"k": b"v"}, 1)
    store.close()
    for file in (tmp_path / "tables").glob("MANIFEST*"):
        file.write_bytes(b"torn")
    again = Store(tmp_path / "tables")
    assert again.partition(0).position() is None
    assert list(tmp_path.glob("tables.broken-*"))
    again.close()


def test_a_copy_that_slept_longer_than_tombstones_live_is_not_usable(tmp_path: Path) -> None:
    now = [1_000_000_000_000]
    store = Store(tmp_path / "tables", clock_ms=lambda: now[0])
    store.partition(0).apply({b"k": b"v"}, 1)
    assert store.partition(0).usable()
    now[0] += MAX_SLEEP_MS
    assert not store.partition(0).usable()
    store.close()


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"a file")
    with pytest.raises(StoreUnusable, match="SLUICE_DATA_DIR") as caught:
        Store(tmp_path / "data" / "tables")
    assert "\n" not in str(caught.value)


def test_what_is_not_written_is_retriable(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    partition = store.partition(0)
    partition.apply({b"k": b"v"}, 1)
    store.close()
    for refused in (lambda: partition.apply({b"k": b"w"}, 2), partition.clear):
        with pytest.raises(StoreUnwritable) as caught:
            refused()
        assert caught.value.retriable


def write(partition: PartitionStore) -> None:
    partition.apply({b"late": b"v"}, 9)


def tick(partition: PartitionStore) -> None:
    partition.check()


@pytest.mark.parametrize("noticed_by", [write, tick])
def test_a_directory_deleted_while_in_use_is_replaced_by_an_empty_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, noticed_by: Callable[[PartitionStore], None]
) -> None:
    store = Store(tmp_path / "tables")
    first, second = store.partition(0), store.partition(1)
    first.apply({b"k": b"v"}, 1)
    shutil.rmtree(tmp_path / "tables")
    with pytest.raises(StoreLost) as caught:
        noticed_by(first)
    assert caught.value.retriable
    anew = store.partition(0)
    assert (anew.position(), anew.get(b"k")) == (None, None)
    # Whoever still has the old one must not write the end of the changelog into the new one.
    for stale in (first, second):
        for use in (write, tick, lambda stale: stale.get(b"k"), lambda stale: list(stale.range(b"", b"z"))):
            with pytest.raises(StoreLost):
                use(stale)
    anew.apply({b"k": b"w"}, 2)
    store.close()
    assert Store(tmp_path / "tables").partition(0).get(b"k") == b"w"
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "deleted while in use" in caplog.text


def test_another_directory_in_its_place_is_noticed(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "tables"), Store(tmp_path / "other")
    other.close()
    (tmp_path / "tables").rename(tmp_path / "gone")
    (tmp_path / "other").rename(tmp_path / "tables")
    with pytest.raises(StoreLost):
        store.partition(0).check()
    assert store.partition(0).position() is None
    store.close()


def damaged(path: Path) -> None:
    """Turn over some bits in the middle of every table file."""
    for file in path.glob("*.sst"):
        content = bytearray(file.read_bytes())
        for at in range(len(content) // 4, len(content) // 2, 512):
            content[at] ^= 0xFF
        file.write_bytes(content)


def truncated(path: Path) -> None:
    for file in path.glob("*.sst"):
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2)


def full(path: Path) -> None:
    """State in table files; RocksDB writes those when it is closed."""
    store = Store(path)
    for number in range(20):
        store.partition(0).apply({b"%d-%d" % (number, n): b"%d" % n * 20 for n in range(1000)}, number)
    store.close()
    assert list(path.glob("*.sst"))


def test_damage_that_is_met_while_reading_never_looks_like_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    full(tmp_path / "tables")
    damaged(tmp_path / "tables")
    store = Store(tmp_path / "tables")
    partition = store.partition(0)
    with pytest.raises(StoreLost):
        list(partition.range(b"", b"z"))
    assert store.partition(0).position() is None
    store.partition(0).apply({b"k": b"v"}, 1)
    store.close()
    assert caplog.text.count("set aside") == 1


def test_truncated_files_are_set_aside_and_only_the_newest_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        full(tmp_path / "tables")
        truncated(tmp_path / "tables")
        store = Store(tmp_path / "tables")
        assert store.partition(0).position() is None
        store.close()
    assert len(list(tmp_path.glob("tables.broken-*"))) == 1
    assert caplog.text.count("set aside") == 3


def test_a_reader_that_has_not_ended_only_delays_the_replacement(tmp_path: Path) -> None:
    store = Store(tmp_path / "tables")
    store.partition(0).apply({b"%d" % n: b"v" for n in range(1000)}, 1)
    reading = store.partition(0).range(b"", b"z")
    next(reading)
    shutil.rmtree(tmp_path / "tables")
    with pytest.raises(StoreLost):
        store.partition(0).check()
    with pytest.raises(StoreUnwritable, match="yet"):
        store.partition(0)
    reading.close()
    del reading
    assert store.partition(0).position() is None
    store.close()
