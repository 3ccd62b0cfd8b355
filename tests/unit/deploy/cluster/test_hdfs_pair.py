"""What the pair of NameNodes clears away after one was killed."""

from pathlib import Path

from deploy.cluster.hdfs_pair import drop_torn_segments

WRITTEN = (-67 & 0xFFFFFFFF).to_bytes(4, "big") + bytes(20)


def test_only_segments_that_nothing_was_written_to_are_removed(tmp_path: Path) -> None:
    current = tmp_path / "current"
    current.mkdir()
    kept = {
        "edits_inprogress_0000000000000000400": WRITTEN,
        "edits_0000000000000000001-0000000000000000331": b"\xff" * 100,
        "VERSION": b"",
    }
    torn = {"edits_inprogress_0000000000000000332": b"\xff" * 100, "edits_inprogress_0000000000000000500": b""}
    for name, content in {**kept, **torn}.items():
        (current / name).write_bytes(content)
    drop_torn_segments(tmp_path)
    assert {path.name: path.read_bytes() for path in current.iterdir()} == kept


def test_a_journal_that_is_not_there_yet_is_fine(tmp_path: Path) -> None:
    drop_torn_segments(tmp_path / "edits")
