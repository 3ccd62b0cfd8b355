"""Paths, escaping and record time."""

from __future__ import annotations

import pytest

from sinks.history import layout
from sinks.history.layout import Bucket

NOW_MS = 1_763_726_400_000


@pytest.mark.parametrize(
    ("header", "escaped"),
    [
        (None, "unknown"),
        (b"", "unknown"),
        (b"access_log", "access_log"),
        (b"a/b", "a%2Fb"),
        (b"..", ".."),
        (b"../../etc", "..%2F..%2Fetc"),
        ("ü".encode(), "%C3%BC"),
        (b"a%2Fb", "a%252Fb"),
        (b"a b+c=d", "a%20b%2Bc%3Dd"),
        (b"\x00\x1b[31m\n", "%00%1B%5B31m%0A"),
        (b"\xff", "%FF"),
        (b"#LATEST", "%23LATEST"),
    ],
)
def test_a_type_is_escaped(header: bytes | None, escaped: str) -> None:
    assert layout.escape_type(header) == escaped
    assert layout.unescape_type(escaped) == (header or b"unknown")


@pytest.mark.parametrize("letter", [b"a", b"/", "ü".encode(), b"%"])
def test_a_long_type_is_cut_and_stays_distinct(letter: bytes) -> None:
    one, other = layout.escape_type(letter * 1000), layout.escape_type(letter * 1001)
    assert one != other
    assert len(f"type={one}") <= 255
    assert len(one) > 200  # longer than any that is not cut, so it cannot be mistaken for one
    assert (letter * 1000).startswith(layout.unescape_type(one.rpartition("-")[0]))


def test_types_around_the_limit_differ() -> None:
    escaped = {layout.escape_type(b"a" * length) for length in range(190, 260)}
    assert len(escaped) == 70


@pytest.mark.parametrize(
    ("stamp", "arrival_ms", "time_ms"),
    [
        (None, NOW_MS, NOW_MS),
        (b"", NOW_MS, NOW_MS),
        (b"1763700000000", NOW_MS, 1_763_700_000_000),
        (b"946684800000", NOW_MS, 946_684_800_000),
        (b"946684799999", NOW_MS, NOW_MS),  # 1999
        (b"%d" % (NOW_MS + layout.DAY_MS), NOW_MS, NOW_MS + layout.DAY_MS),
        (b"%d" % (NOW_MS + layout.DAY_MS + 1), NOW_MS, NOW_MS),
        (b"1763700000", NOW_MS, NOW_MS),  # seconds
        (b"01763700000000", NOW_MS, NOW_MS),  # 14 digits
        (b"-763700000000", NOW_MS, NOW_MS),
        (b"1763700000.00", NOW_MS, NOW_MS),
        (b" 176370000000", NOW_MS, NOW_MS),
        (b"1_7637_0000_0", NOW_MS, NOW_MS),
        ("١٧٦٣٧".encode(), NOW_MS, NOW_MS),
        (b"\xff", NOW_MS, NOW_MS),
        (None, -1, 0),
        (b"1763700000000", -1, 0),
        (None, 1 << 62, layout.LAST_MS),
        (b"9999999999999", 1 << 62, 9_999_999_999_999),
    ],
)
def test_a_records_time(stamp: bytes | None, arrival_ms: int, time_ms: int) -> None:
    assert layout.record_time_ms(stamp, arrival_ms) == time_ms


def test_a_data_path_reads_as_in_the_contract_and_back() -> None:
    bucket = Bucket("a%2Fb", NOW_MS // layout.HOUR_MS)
    path = layout.data_path(bucket, "raw-log", 3, 100, 2345, "jsonl", "gzip")
    assert path == (
        "data/type=a%2Fb/dt=2025-11-21/hour=12/raw-log+3+00000000000000000100+00000000000000002345.jsonl.gz"
    )
    file = layout.parse_data_path(path)
    assert file == layout.DataFile(path, bucket, "raw-log", 3, 100, 2345, "jsonl", "gzip")


@pytest.mark.parametrize("time_ms", [0, layout.LAST_MS])
def test_the_first_and_the_last_hour_have_a_directory(time_ms: int) -> None:
    path = layout.data_path(Bucket("x", time_ms // layout.HOUR_MS), "raw-log", 0, 0, 0, "text", "none")
    file = layout.parse_data_path(path)
    assert file is not None
    assert file.bucket.hour == time_ms // layout.HOUR_MS


@pytest.mark.parametrize(
    "path",
    [
        "data/type=x/dt=2025-11-21/hour=24/raw-log+0+00000000000000000000+00000000000000000001.jsonl",
        "data/type=x/dt=2025-13-21/hour=12/raw-log+0+00000000000000000000+00000000000000000001.jsonl",
        "data/type=x/dt=2025-11-21/hour=12/raw-log+0+0+1.jsonl",
        "data/type=x/dt=2025-11-21/hour=12/raw-log+0+00000000000000000000+00000000000000000001.jsonl.bz2",
        "data/type=x/y/dt=2025-11-21/hour=12/raw-log+0+00000000000000000000+00000000000000000001.jsonl",
        "data/type=x/dt=2025-11-21/hour=12/raw-log+0+00000000000000000000+00000000000000000001.jsonl\n",
        "data/notes.txt",
        "",
    ],
)
def test_other_paths_are_not_ours(path: str) -> None:
    assert layout.parse_data_path(path) is None


def test_names_in_the_service_directory_read_back() -> None:
    assert layout.parse_commit_name(layout.commit_path("t", 1, 77).rpartition("/")[2]) == 77
    assert layout.parse_upload_name(layout.upload_name(77, "0123abcd")) == 77
    assert layout.parse_archive_name(layout.archive_name(5, 77)) == (5, 77)
    assert layout.parse_partition_name("my-topic.v1+12") == ("my-topic.v1", 12)
    for parse in (layout.parse_commit_name, layout.parse_upload_name, layout.parse_archive_name):
        assert parse("lost+found") is None
    assert layout.parse_partition_name("lost found") is None
