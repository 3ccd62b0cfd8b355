"""Both kinds of batch are the same bytes, and aiokafka's sender takes either."""

from __future__ import annotations

import inspect
import struct

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.producer.message_accumulator import BatchBuilder, MessageBatch
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from parsers.event import Event
from parsers.packed import PackedEvents
from sources import batches
from sources.batches import LZ4, PLAIN, Batch, CompiledBatch, PlainBatch, longest, new_batch, new_envelope

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
HEADERS = st.dictionaries(TEXT, TEXT, max_size=5)
BODIES = st.lists(st.binary(max_size=300) | st.sampled_from([b"", b"x" * 63, b"x" * 64, b"x" * 8_191, b"x" * 20_000]))
KINDS = [CompiledBatch, PlainBatch]


def packed(*bodies: bytes) -> PackedEvents:
    return PackedEvents.of([Event({}, body) for body in bodies])


def built(batch: Batch) -> bytes:
    return bytes(batch._build())


def test_the_compiled_part_is_there_and_used() -> None:
    assert batches.compiled is not None
    assert isinstance(new_batch(1_000, PLAIN), CompiledBatch)


def test_without_the_compiled_part_batches_are_aiokafkas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "compiled", None)
    batch = new_batch(1_000, LZ4)
    assert isinstance(batch, PlainBatch)
    envelope = new_envelope({"host": "web-1"}, b"web-1")
    assert batch.extend(1, envelope, packed(b"one", b"two"), 1, 2) == 1
    (record,) = DefaultRecordBatch(built(batch))
    assert (record.key, record.value, record.headers) == (b"web-1", b"two", [("host", b"web-1")])
    assert longest(packed(b"one", b"", b"four", b"x"), 1, 4) == 4


@given(
    st.lists(st.tuples(st.integers(-(2**40), 2**45), HEADERS, st.none() | st.binary(max_size=80), BODIES), max_size=6),
    st.integers(100, 30_000),
    st.tuples(st.integers(0, 2**62), st.integers(0, 2**15 - 1), st.integers(0, 2**31 - 1)),
)
def test_both_kinds_are_the_same_bytes(
    appends: list[tuple[int, dict[str, str], bytes | None, list[bytes]]],
    limit_bytes: int,
    producer: tuple[int, int, int],
) -> None:
    ours, theirs = CompiledBatch(limit_bytes, PLAIN), PlainBatch(limit_bytes, PLAIN)
    for timestamp_ms, headers, key, bodies in appends:
        envelope, events = new_envelope(headers, key), packed(*bodies)
        taken = ours.extend(timestamp_ms, envelope, events, 0, len(bodies))
        assert taken == theirs.extend(timestamp_ms, envelope, events, 0, len(bodies))
        assert (ours.size(), ours.record_count()) == (theirs.size(), theirs.record_count())
        if bodies:
            assert ours.closed() == theirs.closed() == (taken < len(bodies))
    if not ours.record_count():
        return
    for batch in (ours, theirs):
        batch._set_producer_state(*producer)
    assert built(ours) == built(theirs)
    assert ours.size() == theirs.size() == len(built(ours))
    assert ours.record_count() == theirs.record_count()
    assert DefaultRecordBatch(built(ours)).validate_crc()


@pytest.mark.parametrize("size", [0, 1, 62, 63, 64, 65, 120, 130])
def test_both_kinds_are_full_at_the_same_byte(size: int) -> None:
    envelope, events = new_envelope({}, b"key"), packed(b"", b"x" * size, b"")
    for limit_bytes in range(60, 330):
        ours, theirs = CompiledBatch(limit_bytes, PLAIN), PlainBatch(limit_bytes, PLAIN)
        assert ours.extend(1, envelope, events, 0, 3) == theirs.extend(1, envelope, events, 0, 3)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=300)), min_size=1, max_size=20), st.booleans())
def test_an_envelope_is_at_least_what_its_record_takes(
    written: list[tuple[dict[str, str], bytes]], keyed: bool
) -> None:
    batch = CompiledBatch(1_000_000, PLAIN)
    for headers, body in written:
        before = batch.size()
        envelope = new_envelope(headers, b"key" if keyed else None)
        batch.extend(1_700_000_000_000, envelope, packed(body), 0, 1)
        assert batch.size() - before <= envelope.n_bytes + len(body)


@pytest.mark.parametrize("kind", KINDS)
def test_compressed_batches_are_read_back(kind: type[CompiledBatch] | type[PlainBatch]) -> None:
    batch = kind(100_000, LZ4)
    bodies = [b"GET /item/%d HTTP/1.1" % number for number in range(500)]
    envelope = new_envelope({"host": "web-1", "typ": "zugriff é"}, b"web-1")
    assert batch.extend(1_700_000_000_000, envelope, packed(*bodies), 0, 500) == 500
    batch._set_producer_state(7, 3, 41)
    stored = built(batch)
    assert len(stored) < 8_000
    whole = MemoryRecords(stored)
    read = whole.next_batch()
    assert whole.next_batch() is None
    assert read.validate_crc()
    assert (read.compression_type, read.producer_id, read.producer_epoch, read.base_sequence) == (LZ4, 7, 3, 41)
    records = list(read)
    assert [record.value for record in records] == bodies
    assert [record.offset for record in records] == list(range(500))
    assert {record.timestamp for record in records} == {1_700_000_000_000}
    assert records[0].headers == [("host", b"web-1"), ("typ", "zugriff é".encode())]
    assert built(batch) == stored, "sent again, it is the same"


def test_what_compression_makes_larger_stays_as_it_is() -> None:
    batch = CompiledBatch(100_000, LZ4)
    batch.extend(1, new_envelope({}, None), packed(b"x"), 0, 1)
    (record,) = DefaultRecordBatch(built(batch))
    assert record.value == b"x"
    assert DefaultRecordBatch(built(batch)).compression_type == PLAIN


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_batch_takes_nothing(kind: type[CompiledBatch] | type[PlainBatch]) -> None:
    batch = kind(100_000, PLAIN)
    envelope = new_envelope({}, None)
    assert batch.extend(1, envelope, packed(b"a", b"b"), 0, 2) == 2
    batch.close()
    assert batch.closed()
    assert batch.extend(1, envelope, packed(b"c"), 0, 1) == 0
    assert batch.record_count() == 2


def test_a_batch_that_was_built_keeps_its_sequence_numbers() -> None:
    batch = CompiledBatch(1_000, PLAIN)
    batch.extend(1, new_envelope({}, None), packed(b"a"), 0, 1)
    batch._build()
    with pytest.raises(AssertionError):
        batch._set_producer_state(1, 1, 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_aiokafkas_own_wrapper_takes_it(kind: type[CompiledBatch] | type[PlainBatch]) -> None:
    """What aiokafka's accumulator and sender do with a batch, in their order."""
    batch = kind(100_000, PLAIN)
    batch.extend(1, new_envelope({}, None), packed(b"a", b"b"), 0, 2)
    batch.close()
    wrapped = MessageBatch(TopicPartition("t", 0), batch, 30, 0)
    assert wrapped.record_count == 2
    assert not wrapped.is_empty()
    assert wrapped.remaining_linger() is None
    wrapped.set_producer_state(5, 6, 7)
    wrapped.drain_ready()
    first = bytes(wrapped.get_data_buffer())
    read = DefaultRecordBatch(first)
    assert (read.producer_id, read.producer_epoch, read.base_sequence) == (5, 6, 7)
    wrapped.reset_drain()
    wrapped.drain_ready()
    assert bytes(wrapped.get_data_buffer()) == first
    wrapped.done(base_offset=10, timestamp=-1)
    assert (await wrapped.future).offset == 10


def test_aiokafka_uses_nothing_else_of_a_builder() -> None:
    """Of `_builder` in MessageBatch and the accumulator: a new name there is one that our batch has to have."""
    source = inspect.getsource(message_accumulator)
    used = {part.split("(")[0] for part in source.split("_builder.")[1:]}
    of_records = {"append", "build", "set_producer_state", "size"}  # BatchBuilder's own, of its records
    assert used == of_records | {"record_count", "closed", "close", "_set_producer_state", "_build"}
    assert issubclass(PlainBatch, BatchBuilder)


@pytest.mark.parametrize(("first", "after"), [(-1, 1), (0, 3), (3, 3), (2, 1), (2**62, 2**62), (-(2**62), 0)])
def test_bodies_that_are_not_there_are_refused(first: int, after: int) -> None:
    records = batches.compiled.Records(1_000)
    with pytest.raises(ValueError, match="no bodies"):
        records.extend(0, b"\1", b"\0", b"ab", struct.pack("=2Q", 1, 2), first, after)
    assert (records.count, records.n_bytes) == (0, 0)


@pytest.mark.parametrize("ends", [(1, 3), (2, 1), (2**64 - 1, 2), (0, 2**63)])
def test_ends_that_are_none_are_refused_and_nothing_is_added(ends: tuple[int, int]) -> None:
    records = batches.compiled.Records(1_000)
    with pytest.raises(ValueError, match="ends at"):
        records.extend(0, b"\1", b"\0", b"ab", struct.pack("=2Q", *ends), 0, 2)
    assert (records.count, records.n_bytes, records.take()) == (0, 0, b"")


@given(st.lists(st.binary(max_size=50), min_size=1), st.data())
def test_the_longest(bodies: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(bodies) - 1))
    after = data.draw(st.integers(first + 1, len(bodies)))
    assert longest(packed(*bodies), first, after) == max(map(len, bodies[first:after]))
