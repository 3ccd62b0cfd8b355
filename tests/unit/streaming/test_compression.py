"""Record batches are compressed at the level that was chosen, and any client can read them."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from aiokafka.codec import lz4_decode, lz4_encode
from aiokafka.record import default_records as in_python
from aiokafka.record._crecords import default_records as in_c
from aiokafka.record.memory_records import MemoryRecords

from streaming import compression

LZ4 = 3
BATCH_BYTES = 1 << 20


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """aiokafka as it comes, whatever was imported before."""
    before = in_python.lz4_encode, in_c.lz4_encode
    in_python.lz4_encode = in_c.lz4_encode = lz4_encode
    yield
    in_python.lz4_encode, in_c.lz4_encode = before


def lines() -> list[bytes]:
    rng = random.Random(1)
    return [b'10.0.0.%d - - "GET /shop/item/%d HTTP/1.1" 200' % (i % 9, rng.randrange(1000)) for i in range(2000)]


@pytest.mark.parametrize("builders", [in_python._DefaultRecordBatchBuilderPy, in_c.DefaultRecordBatchBuilder])
def test_batches_are_of_the_chosen_level_and_hold_the_same_records(builders: type) -> None:
    def built() -> bytes:
        builder = builders(
            magic=2, compression_type=LZ4, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
            batch_size=BATCH_BYTES,
        )  # fmt: skip
        for offset, line in enumerate(lines()):
            builder.append(offset, timestamp=offset, key=None, value=line, headers=[])
        return bytes(builder.build())

    at_level_9 = built()
    compression.install()
    compression.install()
    batch = built()
    assert batch != at_level_9, "aiokafka has found another way to its codec, or has got a setting"
    assert len(batch) < 1.5 * len(at_level_9)
    assert [record.value for record in MemoryRecords(batch).next_batch()] == lines()


def test_the_level_is_what_the_codec_calls_it() -> None:
    data = b"".join(lines())
    assert lz4_encode(data, level=compression.LEVEL) != lz4_encode(data)
    assert lz4_decode(lz4_encode(data, level=compression.LEVEL)) == data
