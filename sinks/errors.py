"""What every sink's errors have in common."""

from __future__ import annotations

from typing import ClassVar


class SinkError(Exception):
    """A destination did not take records.

    `retriable`: the same call again may succeed, with the same state; otherwise the owner stops or starts afresh.
    `reason` comes from a bounded set and is used as a metric tag. Messages say what, where and what to do about it.
    """

    retriable: ClassVar[bool] = False
    reason: ClassVar[str] = "sink"
