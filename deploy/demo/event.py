"""One record of a log, before it is written to a file and posted."""

from __future__ import annotations

from typing import NamedTuple

ACCESS_LOG = "access_log"
CATALINA = "catalina"
BUSINESS = "business"


class LogEvent(NamedTuple):
    """`text` has no line end, but may have several lines (a stack trace)."""

    type: str
    text: str
    at_s: float
    logger: str | None = None  # of a business log
