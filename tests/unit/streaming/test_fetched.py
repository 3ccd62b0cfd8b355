"""Records as fetched: aiokafka's own choice of records, handed over as columns."""

import gc
import inspect
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher as in_aiokafka
from aiokafka.consumer.fetcher import READ_COMMITTED, Fetcher, FetchResult, PartitionRecords
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import ConsumerRecord

from streaming import fetched as module
from streaming.fetched import Batches, keep_as_fetched
from streaming.records import Record, Records

RAW = TopicPartition("raw-log", 0)
PLAIN = TopicPartition("plain", 0)
HEADERS = [("type", b"access_log"), ("host", None)]


@pytest.fixture(params=["compiled", "python"], autouse=True)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways of reading a batch; the compiled part is there wherever the tests run."""
    assert module.compiled is not None
    if request.param == "python":
        monkeypatch.setattr(module, "compiled", None)


def batch(first: int, values: list[bytes], *, producer: int = -1, transactional: bool = False) -> bytes:
    builder = BatchBuilder(1 << 20, 0, is_transactional=int(transactional))
    for value in values:
        builder.append(timestamp=1_700_000_000_000, key=b"k", value=value, headers=HEADERS)
    builder._set_producer_state(producer, 0, 0)
    packed = builder._build()
    packed[:8] = first.to_bytes(8, "big")
    return bytes(packed)


def control(first: int, producer: int, *, abort: bool) -> bytes:
    """A transaction's end as brokers write it: attributes say that it is one, the key what it says."""
    builder = BatchBuilder(1 << 20, 0, is_transactional=1)
    builder.append(timestamp=1, key=b"\0\0\0\0" if abort else b"\0\0\0\1", value=b"\0\0\0\0\0\0", headers=[])
    builder._set_producer_state(producer, 0, 0)
    packed = builder._build()
    packed[:8] = first.to_bytes(8, "big")
    packed[22] |= 0x20
    return bytes(packed)


class State:
    """What a fetch result asks of the assignment."""

    active = True
    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def state_value(self, _tp: TopicPartition) -> "State":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position


async def fetched(
    tp: TopicPartition, data: bytes, *, at: int = 0, aborted: Any = None, check_crcs: bool = False
) -> Any:
    """A result as the fetcher stores it, after `keep_as_fetched` for `raw-log`."""
    fetcher = SimpleNamespace(_records={})

    async def fetch(*_: Any) -> bool:
        records = PartitionRecords(tp, Batches(data), aborted or [], at, None, None, check_crcs, READ_COMMITTED)
        fetcher._records[tp] = FetchResult(tp, assignment=State(at), partition_records=records, backoff=0)
        fetcher._records[TopicPartition("raw-log", 9)] = "an error"
        return True

    fetcher._proc_fetch_request = fetch
    keep_as_fetched(SimpleNamespace(_fetcher=fetcher), {"raw-log"})  # type: ignore[arg-type]
    assert await fetcher._proc_fetch_request("assignment", 0, "request") is True
    return fetcher._records[tp]


async def test_records_are_columns_with_all_that_is_asked_of_them() -> None:
    result = await fetched(RAW, batch(5, [b"a", b"b"]), at=5)
    records = result.getall(10)
    assert type(records) is Records
    assert list(records) == [
        Record(5, 1_700_000_000_000, b"k", b"a", tuple(HEADERS)),
        Record(6, 1_700_000_000_000, b"k", b"b", tuple(HEADERS)),
    ]


async def test_records_of_other_topics_are_consumer_records() -> None:
    (record,) = (await fetched(PLAIN, batch(0, [b"a"]))).getall(10)
    assert type(record) is ConsumerRecord
    assert record.topic == "plain"


async def test_the_position_moves_as_before() -> None:
    result = await fetched(RAW, batch(0, [b"a", b"b"]) + batch(2, [b"c", b"d"]), at=1)
    assert [record.value for record in result.getall(2)] == [b"b", b"c"]
    assert result._assignment.position == 3
    assert [record.value for record in result.getall(2)] == [b"d"]
    assert result._assignment.position == 4
    assert not result.has_more()


async def test_the_position_is_behind_each_record_that_was_handed_over() -> None:
    result = await fetched(RAW, batch(0, [b"a", b"b", b"c"]) + batch(3, [b"d"]))
    for offset in range(4):
        assert [record.offset for record in result.getall(1)] == [offset]
        assert result._assignment.position == offset + 1


async def test_aborted_transactions_and_their_markers_are_left_out() -> None:
    data = b"".join(
        (
            batch(0, [b"committed"], producer=1, transactional=True),
            batch(1, [b"aborted"], producer=2, transactional=True),
            control(2, 2, abort=True),
            control(3, 1, abort=False),
            batch(4, [b"later"], producer=2, transactional=True),
            control(5, 2, abort=False),
        )
    )
    result = await fetched(RAW, data, aborted=[(2, 1)])
    assert [(record.offset, record.value) for record in result.getall(None)] == [(0, b"committed"), (4, b"later")]
    assert result._assignment.position == 6


async def test_a_damaged_batch_is_an_error_where_checksums_are_checked() -> None:
    damaged = bytearray(batch(0, [b"a" * 100]))
    damaged[-50] ^= 1
    with pytest.raises(Exception, match="CRC"):
        (await fetched(RAW, bytes(damaged), check_crcs=True)).getall(10)


@pytest.mark.parametrize("paused", [False, True])
async def test_what_was_read_is_freed_without_a_garbage_collection(paused: bool) -> None:
    result = await fetched(RAW, batch(0, [b"a", b"b"]))
    reader = weakref.ref(result._partition_records)
    result._assignment.paused = paused
    gc.disable()
    try:
        records = result.getall(None)  # a name, as `assert` keeps what is in it
        assert len(records) == (0 if paused else 2)
        assert not result.has_more()
        assert reader() is None  # and with it the bytes that were fetched
    finally:
        gc.enable()


async def test_what_was_read_to_its_end_already_is_left_alone() -> None:
    fetcher = SimpleNamespace(_records={})
    result = FetchResult(RAW, assignment=State(0), partition_records=None, backoff=0)

    async def fetch() -> bool:
        fetcher._records[RAW] = result
        return False

    fetcher._proc_fetch_request = fetch
    keep_as_fetched(SimpleNamespace(_fetcher=fetcher), {"raw-log"})  # type: ignore[arg-type]
    assert await fetcher._proc_fetch_request() is False
    assert not result.has_more()


def test_nothing_is_awaited_between_storing_a_result_and_the_end_of_the_fetch() -> None:
    text = inspect.getsource(Fetcher._proc_fetch_request)
    stored = text.index("self._records[tp] = FetchResult(")
    assert "await " not in text[stored:]
    unpack = inspect.getsource(PartitionRecords._unpack_records)
    assert "self._consumer_record(tp, record)" in unpack
    assert "self.next_fetch_offset = record.offset + 1" in unpack
    assert "records = MemoryRecords(part_data[-1])" in text
    assert in_aiokafka.MemoryRecords is Batches
