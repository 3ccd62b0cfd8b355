"""What can go wrong while history is written.

SinkError
├── StorageUnavailable   retriable: NameNode, DataNode or disk did not answer; the call may or may not have happened
├── StorageDenied        retriable: the storage does not let this user in; operator: grant the rights, it then goes on
├── StorageFull          retriable: no space or quota left in the storage; operator: make room, it then goes on
├── BufferFull           retriable: no room for local buffers; commit() frees what is there
├── BufferLost           fatal: a local buffer file vanished; recover() and read again from Kafka
├── StorageRefused       fatal: the storage answered that it will not do it, nothing happened
├── RollAlreadyExists    fatal: another writer owns this range; operator: look for two workers with one group id
├── OffsetsOutOfOrder    fatal: the caller delivered an offset twice or backwards
├── HistoryDamaged       fatal: the commit records do not fit what is there; operator: `faust -A app verify`
└── HistoryGap           fatal: Kafka no longer has the next offset; operator: `faust -A app accept-gap`

Fatal means for this writer: `PartitionWriter.recover` starts afresh from what is committed, which none of this harms.
"""

from __future__ import annotations

from sinks.errors import SinkError

__all__ = [
    "BufferFull",
    "BufferLost",
    "HistoryDamaged",
    "HistoryGap",
    "OffsetsOutOfOrder",
    "RollAlreadyExists",
    "SinkError",
    "StorageDenied",
    "StorageFull",
    "StorageRefused",
    "StorageUnavailable",
]


class StorageUnavailable(SinkError):
    """The storage did not answer, or answered that it can't now; what was asked may or may not have happened."""

    retriable = True
    reason = "storage_unavailable"


class StorageDenied(SinkError):
    """The storage does not let this user do it. Operator: grant the rights; the writer goes on by itself."""

    retriable = True
    reason = "storage_denied"


class StorageFull(SinkError):
    """No space or quota is left in the storage. Operator: make room; the writer goes on by itself."""

    retriable = True
    reason = "storage_full"


class BufferFull(SinkError):
    """Local buffers can't grow. Nothing was lost; a commit frees them, and room on the disk lets them grow again."""

    retriable = True
    reason = "buffer_full"


class BufferLost(SinkError):
    """A local buffer file is gone or short. Kafka still has its records: recover, and read them again."""

    reason = "buffer_lost"


class StorageRefused(SinkError):
    """The storage answered that it will not do this: target taken, source or parent missing. Nothing happened."""

    reason = "storage_refused"


class RollAlreadyExists(SinkError):
    """Another writer has committed from this writer's position on. Operator: look for two workers with one group id.

    Expected now and then when a partition moves while its old owner still writes; `recover` gives the right position.
    """

    reason = "roll_already_exists"


class OffsetsOutOfOrder(SinkError):
    """Records were handed over twice or backwards; nothing of the batch was taken."""

    reason = "offsets_out_of_order"


class HistoryDamaged(SinkError):
    """Commit records and files don't fit together. Operator: `faust -A app verify` says which."""

    reason = "history_damaged"


class HistoryGap(SinkError):
    """Kafka no longer has the next offset of a partition: those up to the oldest one there are lost to history.

    Operator: keep a copy of them elsewhere if there is one, and accept the loss, which is then on record for ever.
    """

    reason = "history_gap"

    def __init__(self, topic: str, partition: int, expected: int, available: int) -> None:
        super().__init__(
            f"{topic}[{partition}]: history goes on at offset {expected}, but the oldest one in Kafka is {available}: "
            f"offsets {expected} to {available - 1} are gone. Go on without them: stop this group's workers, then "
            "`faust -A app accept-gap --group history`"
        )
        self.topic = topic
        self.partition = partition
        self.expected = expected
        self.available = available
