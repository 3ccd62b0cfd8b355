"""What can go wrong between Sluice and Kafka.

StreamError
├── BrokerUnavailable    retriable: no broker answered in time; state kept, tried again with back-off
├── TransactionFailed    retriable: aborted, or the outcome is unknown; the lane reopens and settles it
├── Fenced               retriable: another worker owns the partition now; the lane reopens if still assigned
├── StoreUnwritable      retriable: no room on the local disk, say; operator: make room, it then goes on
│   └── StoreLost        retriable: the local state was deleted or damaged; an empty one is filled from the changelog
├── OffsetsGone          fatal for the partition: Kafka no longer has the next offset; operator: see the message
└── CannotStart          fatal for the worker: something on this machine is not as it must be; said in one line
    ├── StoreLocked      another process uses the same data directory
    ├── StoreUnusable    the data directory cannot be written: no room, no rights
    └── PortTaken        another process listens on the web's port
"""

from __future__ import annotations

from typing import ClassVar


class StreamError(Exception):
    """Root of what streaming raises. `reason` is from a bounded set and serves as a metric tag."""

    retriable: ClassVar[bool] = True
    reason: ClassVar[str] = "stream"


class BrokerUnavailable(StreamError):
    """No broker answered in time."""

    reason = "broker_unavailable"


class TransactionFailed(StreamError):
    """A transaction did not end in time or was refused; whether it was committed is settled by reopening the lane."""

    reason = "transaction_failed"


class Fenced(StreamError):
    """A newer producer with the same transactional id exists: this one may write no more."""

    reason = "fenced"


class StoreUnwritable(StreamError):
    """The local state took no write; it is as it was, and behind Kafka. Operator: make room; it goes on by itself."""

    reason = "store_unwritable"


class StoreLost(StoreUnwritable):
    """The local state was deleted or damaged while in use: whoever wrote it opens the one that took its place."""

    reason = "store_lost"


class OffsetsGone(StreamError):
    """Kafka no longer has the offset that has to be read next."""

    retriable = False
    reason = "offsets_gone"


class CannotStart(StreamError):
    """The worker ends with exit status 1 and this one line: there is nothing in a traceback for the operator."""

    retriable = False
    reason = "cannot_start"


class StoreLocked(CannotStart):
    """Another process has the state directory open."""

    reason = "store_locked"


class StoreUnusable(CannotStart):
    """The state directory cannot be made or opened."""

    reason = "store_unusable"


class PortTaken(CannotStart):
    """The web's address is in use."""

    reason = "port_taken"
