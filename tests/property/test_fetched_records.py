"""Record batches, whole and damaged: read as aiokafka's own reader reads them, or refused as it refuses them."""

from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from streaming import _records

HEADER_BYTES = 61
COUNT_AT = 57
TEXTS = st.text(max_size=8)
BYTES = st.one_of(st.none(), st.binary(max_size=300), st.just(b"x" * 70_000))
HEADERS = st.lists(st.tuples(TEXTS, BYTES), max_size=3)
ROWS = st.lists(
    st.tuples(st.integers(0, 2**41), BYTES, BYTES, st.one_of(HEADERS, st.just([("type", b"access_log")]))),
    min_size=1,
    max_size=12,
)


def build(rows: list[Any]) -> bytes:
    builder = BatchBuilder(1 << 24, 0)
    for timestamp, key, value, headers in rows:
        builder.append(timestamp=timestamp, key=key, value=value, headers=headers)
    return bytes(builder._build())


def theirs(batch: bytes) -> list[Any] | None:
    """What aiokafka reads; None where it refuses."""
    try:
        read = MemoryRecords(batch).next_batch()
        return [(each.offset, each.timestamp, each.key, each.value, tuple(each.headers)) for each in read]  # type: ignore[union-attr]
    except Exception:
        return None


def ours(batch: bytes, from_offset: int = 0) -> list[Any] | None:
    """What the compiled reader reads; None where it refuses."""
    headers: list[Any] = []
    first_ms, count = int.from_bytes(batch[27:35], "big", signed=True), int.from_bytes(batch[COUNT_AT:61], "big")
    try:
        offsets, times, keys, values, ids = _records.unpack(
            batch[HEADER_BYTES:], count, 0, first_ms, -1, from_offset, {}, headers
        )
    except ValueError:
        return None
    return list(zip(offsets, times, keys, values, [headers[each] for each in ids], strict=True))


@given(ROWS, st.integers(0, 12))
def test_a_batch_is_read_as_aiokafka_reads_it(rows: list[Any], from_offset: int) -> None:
    batch = build(rows)
    expected = theirs(batch)
    assert expected is not None
    assert ours(batch) == expected
    assert ours(batch, from_offset) == expected[from_offset:]


@given(ROWS, st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=3), st.integers(0, 5))
def test_a_damaged_batch_is_refused_or_read_as_aiokafka_reads_it(
    rows: list[Any], damages: list[tuple[int, int]], cut: int
) -> None:
    batch = bytearray(build([(at, key and key[:50], value and value[:50], some) for at, key, value, some in rows]))
    for place, byte in damages:
        batch[HEADER_BYTES + place % (len(batch) - HEADER_BYTES)] = byte
    damaged = bytes(batch[: len(batch) - min(cut, len(batch) - HEADER_BYTES)])
    damaged = damaged[:8] + (len(damaged) - 12).to_bytes(4, "big") + damaged[12:]
    read = ours(damaged)
    assert read is None or read == theirs(damaged)
