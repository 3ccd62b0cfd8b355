"""Deliveries: the committed offset is the end of the longest acknowledged prefix."""

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streaming.batches import Batch, Delivery

TP0 = TP("raw-log", 0)


def batch_of(offsets: Iterable[int], epoch: int = 0) -> Batch:
    return Batch(TP0, [SimpleNamespace(offset=offset) for offset in offsets], epoch)


def test_a_batch_ends_after_its_last_record_even_with_gaps() -> None:
    batch = batch_of([3, 4, 9])
    assert (batch.first_offset, batch.next_offset) == (3, 10)


def test_nothing_is_committable_before_the_first_batch_is_acknowledged() -> None:
    delivery = Delivery(held=False)
    first, second = batch_of([0, 1]), batch_of([2, 3])
    delivery.delivered(first)
    delivery.delivered(second)
    delivery.acknowledge(second)
    assert delivery.committable() is None
    delivery.acknowledge(first)
    assert delivery.committable() == 4
    assert delivery.committable() is None  # handed out once


def test_a_stale_acknowledgement_counts_for_nothing() -> None:
    delivery = Delivery(held=False)
    batch = batch_of([0, 1])
    delivery.delivered(batch)
    delivery.restart(held=False)
    assert not delivery.acknowledge(batch)
    assert delivery.committable() is None


def test_taking_up_batches_makes_room_and_stale_ones_do_not() -> None:
    delivery = Delivery(held=False)
    stale = batch_of([0])
    delivery.delivered(stale)
    epoch = delivery.restart(held=False)
    delivery.delivered(batch_of([0], epoch))
    delivery.taken(stale)
    assert delivery.waiting == 1


def test_many_small_batches_may_wait_and_few_large_ones() -> None:
    small, large = Delivery(held=False), Delivery(held=False)
    for number in range(100):
        small.delivered(batch_of([number]))
    assert not small.full
    first, second = batch_of(range(2500)), batch_of(range(2500, 5000))
    large.delivered(first)
    assert not large.full
    large.delivered(second)
    assert large.full
    large.taken(first)
    assert not large.full
    large.delivered(batch_of(range(5000, 7500)))
    assert large.full
    large.restart(held=False)
    assert not large.full


def test_a_single_batch_never_fills_a_partition() -> None:
    delivery = Delivery(held=False)
    delivery.delivered(batch_of(range(10_000)))
    assert not delivery.full


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=12).flatmap(
        lambda sizes: st.tuples(st.just(sizes), st.permutations(range(len(sizes))))
    )
)
def test_committable_is_always_the_end_of_the_acknowledged_prefix(case: tuple[list[int], list[int]]) -> None:
    sizes, order = case
    delivery = Delivery(held=False)
    batches, offset = [], 0
    for size in sizes:
        batches.append(batch_of(range(offset, offset + size)))
        delivery.delivered(batches[-1])
        offset += size
    done: set[int] = set()
    committed = 0
    for index in order:
        assert delivery.acknowledge(batches[index])
        done.add(index)
        prefix = next((i for i in range(len(batches)) if i not in done), len(batches))
        expected = batches[prefix - 1].next_offset if prefix else 0
        committed = delivery.committable() or committed
        assert committed == expected
    assert delivery.in_flight == 0


def test_a_batch_is_acknowledged_once() -> None:
    delivery = Delivery(held=False)
    batch = batch_of([0])
    delivery.delivered(batch)
    assert delivery.acknowledge(batch)
    assert not delivery.acknowledge(batch)


@pytest.mark.parametrize("held", [True, False])
def test_restart_begins_a_new_epoch(held: bool) -> None:
    delivery = Delivery(held=not held)
    assert delivery.restart(held=held) == 1
    assert delivery.held is held
