"""Rows of history files, from ordinary and from hostile records."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor

import orjson
import pytest

from sinks.history.encoder import Encoder
from sinks.history.layout import HOUR_MS, Bucket
from tests.support.history import NOON_MS, FakeRecord

NOON = NOON_MS // HOUR_MS


def _only_row(record: FakeRecord) -> dict[str, object]:
    (rows,) = Encoder(3, "jsonl").encode([record]).values()
    assert rows.data.endswith(b"\n")
    assert rows.data.count(b"\n") == 1
    row = orjson.loads(rows.data)
    assert list(row) in (
        ["partition", "offset", "ts", "headers", "body"],
        ["partition", "offset", "ts", "headers", "body_base64"],
    )
    return row


def test_a_jsonl_row_reads_as_in_the_contract() -> None:
    record = FakeRecord(17, 'Grüße "x"\n\ttab'.encode(), (("type", b"catalina"), ("host", b"web-1")), NOON_MS)
    assert _only_row(record) == {
        "partition": 3,
        "offset": 17,
        "ts": NOON_MS,
        "headers": {"type": "catalina", "host": "web-1"},
        "body": 'Grüße "x"\n\ttab',
    }


@pytest.mark.parametrize("body", [b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"ok\x00\xff", b"\xf4\x90\x80\x80"])
def test_a_body_that_is_not_utf_8_is_base64(body: bytes) -> None:
    row = _only_row(FakeRecord(0, body))
    assert "body" not in row
    assert base64.b64decode(str(row["body_base64"])) == body


@pytest.mark.parametrize(
    "body", [b"", b"\x00", b"\x1b[31m", "\u2028\U0001f4a9".encode(), b'{"a":"\\ud800"}', b"x" * 5_000_000]
)
def test_any_utf_8_body_comes_back(body: bytes) -> None:
    assert _only_row(FakeRecord(0, body))["body"] == body.decode()


def test_what_is_null_in_kafka_is_null() -> None:
    row = _only_row(FakeRecord(0, None, (("host", None), ("type", None))))
    assert row["body"] is None
    assert row["headers"] == {"host": None, "type": None}


def test_of_duplicate_headers_the_last_wins() -> None:
    record = FakeRecord(0, b"x", (("type", b"a"), ("type", b"b"), ("h", b"1"), ("h", b"2")))
    (bucket,) = Encoder(0, "jsonl").encode([record])
    assert bucket == Bucket("b", NOON)
    assert _only_row(record)["headers"] == {"type": "b", "h": "2"}


def test_header_bytes_that_are_not_utf_8_stay_readable() -> None:
    assert _only_row(FakeRecord(0, b"x", (("h", b"caf\xe9 \xed\xa0\x80"),)))["headers"] == {
        "h": "caf\\xe9 \\xed\\xa0\\x80"
    }


def test_a_header_name_with_half_a_surrogate_pair_is_no_error() -> None:
    assert _only_row(FakeRecord(0, b"x", (("\ud800", b"1"),)))["headers"] == {"\\ud800": "1"}


def test_text_rows_are_the_bodies() -> None:
    batch = [FakeRecord(0, b"one"), FakeRecord(1, b"two\nlines"), FakeRecord(2, None), FakeRecord(3, b"\xff")]
    (rows,) = Encoder(0, "text").encode(batch).values()
    assert rows.data == b"one\ntwo\nlines\n\n\xff\n"
    assert (rows.records, rows.first, rows.last) == (4, 0, 3)


def test_records_go_by_type_and_hour_in_offset_order() -> None:
    batch = [
        FakeRecord(4, b"a", (("type", b"x"),), NOON_MS),
        FakeRecord(5, b"b", (), NOON_MS),
        FakeRecord(7, b"c", (("type", b"x"),), NOON_MS + HOUR_MS),
        FakeRecord(9, b"d", (("type", b"x"), ("timestamp", b"%d" % (NOON_MS - HOUR_MS))), NOON_MS),
        FakeRecord(10, b"e", (("type", b"x"),), NOON_MS + 1),
    ]
    encoded = Encoder(0, "text").encode(batch)
    assert {bucket: (rows.data, rows.first, rows.last) for bucket, rows in encoded.items()} == {
        Bucket("x", NOON): (b"a\ne\n", 4, 10),
        Bucket("unknown", NOON): (b"b\n", 5, 5),
        Bucket("x", NOON + 1): (b"c\n", 7, 7),
        Bucket("x", NOON - 1): (b"d\n", 9, 9),
    }


def test_the_stated_time_is_the_rows_time() -> None:
    stated = NOON_MS - 5 * HOUR_MS
    assert _only_row(FakeRecord(0, b"x", (("timestamp", b"%d" % stated),)))["ts"] == stated
    assert _only_row(FakeRecord(0, b"x", (), -1))["ts"] == 0


def test_what_is_remembered_of_headers_is_bounded() -> None:
    encoder = Encoder(0, "jsonl")
    for offset in range(5000):
        headers = (("id", b"%d" % offset), ("filler", b"x" * (offset % 2000)))
        (rows,) = encoder.encode([FakeRecord(offset, b"x", headers)]).values()
        assert orjson.loads(rows.data)["headers"]["id"] == str(offset)
    assert sum(len(headers.json) for headers in encoder._seen.values()) < 1 << 20


def test_an_abandoned_call_does_not_disturb_the_next() -> None:
    encoder = Encoder(0, "jsonl")
    batches = [[FakeRecord(i, b"x", (("id", b"%d" % (i * n)),)) for i in range(3000)] for n in range(1, 5)]
    with ThreadPoolExecutor(4) as executor:
        for batch, encoded in zip(batches, executor.map(encoder.encode, batches), strict=True):
            (rows,) = encoded.values()
            ids = [orjson.loads(line)["headers"]["id"] for line in rows.data.splitlines()]
            assert ids == [record.headers[0][1].decode() for record in batch if record.headers[0][1]]
