"""What a source answers when it does not take events.

SourceError
├── BadRequest           400, final: the request is not in its stated format
├── TooLarge             413, final: the request, or one event of it, is larger than Sluice or the brokers take
├── Unsupported          415, final: content type, charset or encoding that Sluice does not read
└── Unavailable          503, retriable: not now; nothing that the sender must keep has been promised
    ├── Overloaded       more is waiting for Kafka than memory allows; operator: look at the brokers, or add workers
    ├── BrokerUnavailable  Kafka does not acknowledge; operator: look at the brokers
    └── SpoolFull        Kafka does not acknowledge and the local spool takes no more; operator: look at the brokers

CannotListen             fatal, at start: an address can't be had; operator: free it, or mend the source's `listen`
SpoolUnusable            fatal, at start: the spool can't be opened; operator: see to SLUICE_DATA_DIR

The status is HTTP's; other sources translate `retriable` into their protocol's words.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class SourceError(Exception):
    """Events that a source does not take. `reason` is from a bounded set (a metric tag), the message one line."""

    status: ClassVar[int]
    retriable: ClassVar[bool] = False

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class BadRequest(SourceError):
    """Not the stated format: sending it again will not help."""

    status = 400


class TooLarge(SourceError):
    """More than Sluice or the brokers take in one request or one event: sending it again will not help.

    `limit_bytes` is what one event may take as a record, where an event is what was too large.
    """

    status = 413

    def __init__(self, reason: str, message: str, limit_bytes: int | None = None) -> None:
        super().__init__(reason, message)
        self.limit_bytes = limit_bytes


class Unsupported(SourceError):
    """A content type, charset or content encoding that Sluice does not read."""

    status = 415


class Unavailable(SourceError):
    """Not now. The sender keeps its events and sends them again, after `retry_after_s` at the earliest."""

    status = 503
    retriable = True

    def __init__(self, reason: str, message: str, retry_after_s: int) -> None:
        super().__init__(reason, message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """As many bytes as memory allows are waiting for Kafka. Nothing of the request is kept."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__("overloaded", message, retry_after_s)


class BrokerUnavailable(Unavailable):
    """Kafka has not acknowledged in time, or is known to be away.

    Where it failed in the middle, some of the request's events may be in Kafka or get there yet: the sender sends all
    of them again (at-least-once).
    """

    def __init__(self, message: str, retry_after_s: int = 2) -> None:
        super().__init__("broker_unavailable", message, retry_after_s)


class SpoolFull(Unavailable):
    """Kafka does not take the events, and the local spool has no room for them. Nothing of them is kept."""

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__("spool_full", message, retry_after_s)


class CannotListen(Exception):
    """A source's address can't be had: the worker does not start."""

    retriable: ClassVar[bool] = False
    reason: ClassVar[str] = "cannot_listen"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} can't be listened on: {why}")


class SpoolUnusable(Exception):
    """The spool's folder can't be used: the worker does not start, as events may lie there."""

    retriable: ClassVar[bool] = False
    reason: ClassVar[str] = "spool_unusable"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the spool {path} can't be opened (SLUICE_DATA_DIR): {' '.join(why.split())}")
