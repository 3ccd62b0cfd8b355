"""The local state: atomic, disposable, one owner."""

from pathlib import Path

import pytest

from streaming.errors import StoreLocked, StoreUnusable, StoreUnwritable
from streaming.store import MAX_SLEEP_MS, Store


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
