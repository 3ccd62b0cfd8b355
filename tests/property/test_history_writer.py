"""Whatever comes from Kafka, in whatever batches and through whatever faults, comes back from the history, once."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.errors import SinkError
from sinks.history import commit, layout
from sinks.history.codec import COMPRESSIONS, decompress
from sinks.history.layout import HOUR_MS
from sinks.history.memory import Fault, MemoryStorage, SimulatedCrash
from sinks.history.verify import verify
from tests.support.history import (
    NOON_MS,
    TOPIC,
    FakeRecord,
    assert_exactly,
    data_files,
    drive,
    rows,
    watch,
    writer,
)

HEADER_NAMES = st.sampled_from(["type", "host", "timestamp", "logger"]) | st.text(max_size=20)
STAMPS = st.integers(-1, 1 << 50).map(lambda number: b"%d" % number)
TYPES = st.sampled_from([b"access_log", b"..", b"a/b", b"A", b"a"]) | st.binary(max_size=300)
HEADERS = st.lists(
    st.one_of(
        st.tuples(HEADER_NAMES, st.none() | st.binary(max_size=40)),
        st.tuples(st.just("type"), st.none() | TYPES),
        st.tuples(st.just("timestamp"), STAMPS),
    ),
    max_size=6,
).map(tuple)
TIMES = st.one_of(
    st.integers(NOON_MS - 3 * HOUR_MS, NOON_MS + 3 * HOUR_MS),
    st.integers(-(1 << 62), 1 << 62),
)
BODIES = st.none() | st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | st.just(b'"\xed\xa0\x80"')
RECORDS = st.lists(
    st.tuples(st.integers(1, 5), BODIES, HEADERS, TIMES),
    min_size=1,
    max_size=30,
)


def _numbered(drawn: list[tuple[int, bytes | None, Any, int]]) -> list[FakeRecord]:
    offset = -1
    batch = []
    for step, body, headers, time_ms in drawn:
        offset += step
        batch.append(FakeRecord(offset, body, headers, time_ms))
    return batch


def _header_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


@settings(deadline=None)
@given(
    drawn=RECORDS,
    batch_size=st.integers(1, 10),
    roll_size=st.integers(1, 20),
    memory_bytes=st.sampled_from([1, 300, 1 << 20]),
)
async def test_any_record_comes_back_as_jsonl(
    drawn: list[tuple[int, bytes | None, Any, int]], batch_size: int, roll_size: int, memory_bytes: int
) -> None:
    batch = _numbered(drawn)
    storage = MemoryStorage()
    with tempfile.TemporaryDirectory() as directory:
        history = writer(storage, Path(directory), compression="gzip", memory_bytes=memory_bytes)
        await history.recover()
        for first in range(0, len(batch), batch_size):
            await history.append(batch[first : first + batch_size])
            if history.buffered_records >= roll_size:
                await history.commit()
        await history.commit()
    found = rows(storage)
    assert [row["offset"] for row in found] == [record.offset for record in batch]
    for row, record in zip(found, batch, strict=True):
        assert row["partition"] == 0
        assert row["headers"] == {name: _header_text(value) for name, value in record.headers}
        if "body_base64" in row:
            assert base64.b64decode(row["body_base64"]) == record.value
        else:
            assert row["body"] == (None if record.value is None else record.value.decode())
        stated = dict(record.headers).get("timestamp")
        assert row["ts"] == layout.record_time_ms(stated, record.timestamp)
    report = await verify(storage, TOPIC, deep=True)
    assert report.well, report.to_json()


@settings(deadline=None)
@given(drawn=RECORDS, compression=st.sampled_from(COMPRESSIONS))
async def test_any_record_comes_back_as_text(drawn: list[tuple[int, bytes | None, Any, int]], compression: str) -> None:
    batch = _numbered(drawn)
    storage = MemoryStorage()
    with tempfile.TemporaryDirectory() as directory:
        history = writer(storage, Path(directory), format="text", compression=compression)
        await history.recover()
        await history.append(batch)
        await history.commit()
    expected: dict[layout.Bucket, bytes] = {}
    for record in batch:
        headers = dict(record.headers)
        hour = layout.record_time_ms(headers.get("timestamp"), record.timestamp) // HOUR_MS
        bucket = layout.Bucket(layout.escape_type(headers.get("type")), hour)
        expected[bucket] = expected.get(bucket, b"") + (record.value or b"") + b"\n"
    found = {}
    for path in data_files(storage):
        file = layout.parse_data_path(path)
        assert file is not None
        found[file.bucket] = b"".join(decompress(storage.chunks(path), file.compression))
    assert found == expected


@given(value=st.binary(max_size=400))
def test_any_type_is_one_safe_component(value: bytes) -> None:
    escaped = layout.escape_type(value)
    assert 0 < len(f"type={escaped}") <= 255
    assert set(escaped) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-%")
    if len(escaped) <= 200:
        assert layout.unescape_type(escaped) == (value or b"unknown")


FAULTS = st.dictionaries(st.integers(0, 80), st.sampled_from(list(Fault)), max_size=12)


@settings(max_examples=300, deadline=None)  # the machine has other work, too
@given(faults=FAULTS, releases=st.sets(st.integers(0, 120), max_size=6), start_over=st.booleans())
async def test_any_faults_leave_each_offset_in_one_file(
    faults: dict[int, Fault], releases: set[int], start_over: bool
) -> None:
    storage = MemoryStorage()
    watch(storage)
    for call, fault in faults.items():
        storage.fail(call, fault)
    storage.before_call = lambda number: storage.release() if number in releases else None
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setattr(commit, "_KEPT", 1)
        patch.setattr(commit, "_ARCHIVED_AT_ONCE", 1)
        for _ in range(len(faults) + 1):
            try:
                await drive(storage, Path(directory), 40, start_over=start_over)
                break
            except SimulatedCrash:
                storage.restart()
        storage.release()
        assert_exactly(storage, 40)
        view = MemoryStorage(storage)
        assert (await verify(view, TOPIC, deep=True)).well
        try:
            await drive(view, Path(directory), 60)
        except SinkError as error:
            raise AssertionError("without faults nothing fails") from error
        assert_exactly(view, 60)


@settings(deadline=None)
@given(batch=st.lists(st.tuples(BODIES, HEADERS), max_size=5))
async def test_jsonl_is_json_by_the_line(batch: list[tuple[bytes | None, Any]]) -> None:
    storage = MemoryStorage()
    with tempfile.TemporaryDirectory() as directory:
        history = writer(storage, Path(directory))
        await history.recover()
        await history.append([FakeRecord(offset, body, headers) for offset, (body, headers) in enumerate(batch)])
        await history.commit()
    for path in data_files(storage):
        for line in storage.files[path].split(b"\n")[:-1]:
            assert isinstance(orjson.loads(line), dict)
