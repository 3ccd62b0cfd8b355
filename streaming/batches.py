"""A fetched batch as the unit, and the bookkeeping of one partition's deliveries."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from faust.types import TP

# What is fetched of a partition ahead of whoever handles it: two batches, or more while they are small. What aiokafka
# has fetched and may not hand over keeps it from fetching any other partition of the same broker, for 0.1 s.
MAX_WAITING = 2
MAX_WAITING_OFFSETS = 4_000


@dataclass(frozen=True)
class BatchTopic:
    """How a topic is consumed by the batch.

    `offsets`: who commits. "acks": the consumer commits the end of the longest acknowledged prefix of delivered
    batches. "lane": whoever handles the batches commits (in a transaction, say); acknowledgements only free memory.
    `held`: after an assignment nothing is delivered until `BatchConsumer.release` says from which offset.
    """

    name: str
    offsets: Literal["acks", "lane"] = "acks"
    held: bool = False


class Batch:
    """Records of one partition as one fetch returned them; the value of one Faust event.

    `epoch` tells deliveries apart that belong to different releases of the partition: a batch of an older epoch is
    stale (the partition was held or reassigned meanwhile) and is to be dropped.
    """

    __slots__ = ("epoch", "first_offset", "next_offset", "records", "tp")

    def __init__(self, tp: TP, records: Sequence[Any], epoch: int) -> None:
        self.tp = tp
        self.records = records
        self.first_offset: int = records[0].offset
        self.next_offset: int = records[-1].offset + 1
        self.epoch = epoch

    def drop_records(self) -> None:
        """Free the memory of the records; the offsets stay for the acknowledgement."""
        self.records = ()

    def __repr__(self) -> str:
        return f"<Batch {self.tp.topic}[{self.tp.partition}]@{self.first_offset}..{self.next_offset - 1}>"


@dataclass
class Delivery:
    """What was delivered of one assigned partition and what of it is acknowledged.

    Deliveries are in offset order; acknowledgements come in any order. `committable` is the end of the longest
    acknowledged prefix, or None where there is nothing new to commit.
    """

    held: bool
    epoch: int = 0
    waiting: int = 0  # batches delivered that nobody has taken up yet
    waiting_offsets: int = 0  # the offsets that they span: at least as many as their records
    _pending: deque[list[Any]] = field(default_factory=deque)  # [first_offset, next_offset, acknowledged]
    _by_first: dict[int, list[Any]] = field(default_factory=dict)
    _prefix_end: int | None = None

    def delivered(self, batch: Batch) -> None:
        """Note a batch that goes out; batches come in offset order."""
        entry = [batch.first_offset, batch.next_offset, False]
        self._pending.append(entry)
        self._by_first[batch.first_offset] = entry
        self.waiting += 1
        self.waiting_offsets += batch.next_offset - batch.first_offset

    def taken(self, batch: Batch) -> None:
        """Note that a delivered batch has left the queue; makes room for the next fetch."""
        if batch.epoch == self.epoch:
            self.waiting -= 1
            self.waiting_offsets -= batch.next_offset - batch.first_offset

    def acknowledge(self, batch: Batch) -> bool:
        """Mark a batch as done. False where it is stale or was acknowledged before."""
        entry = self._by_first.get(batch.first_offset) if batch.epoch == self.epoch else None
        if entry is None or entry[2]:
            return False
        entry[2] = True
        while self._pending and self._pending[0][2]:
            first, self._prefix_end, _ = self._pending.popleft()
            del self._by_first[first]
        return True

    @property
    def full(self) -> bool:
        """Whether enough waits to be taken up: no more is to be fetched."""
        return self.waiting >= MAX_WAITING and self.waiting_offsets >= MAX_WAITING_OFFSETS

    @property
    def in_flight(self) -> int:
        """Batches delivered and not behind the acknowledged prefix yet."""
        return len(self._pending)

    def committable(self) -> int | None:
        """The offset to commit next; each is handed out once."""
        offset, self._prefix_end = self._prefix_end, None
        return offset

    @property
    def has_committable(self) -> bool:
        return self._prefix_end is not None

    def restart(self, *, held: bool) -> int:
        """Forget everything in flight and begin a new epoch; returns its number."""
        self._pending.clear()
        self._by_first.clear()
        self._prefix_end = None
        self.waiting = self.waiting_offsets = 0
        self.held = held
        self.epoch += 1
        return self.epoch
