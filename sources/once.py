"""Troubles that clients make: counted always, logged once a minute for each reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from config.wording import printable
from telemetry.flow import Flow

log = logging.getLogger(__name__)

LOG_INTERVAL_S: Final = 60.0
_SHOWN_CHARACTERS: Final = 200


class Troubles:
    """What went wrong with the clients of one source, by reason, in `flow.notes["troubles"]`.

    Reasons come from the code, a bounded set. The first trouble of a reason is logged at once as a warning, later ones
    at most once a minute, with how many there were since; the count is exact at any time. Nothing that a client sends
    gets into the log unescaped or at length.
    """

    def __init__(self, flow: Flow, clock: Callable[[], float] = time.monotonic) -> None:
        self._flow = flow
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._logged: dict[str, tuple[float, int]] = {}  # reason -> when last, and the count then

    def note(self, reason: str, detail: str = "", times: int = 1) -> None:
        """Count a trouble, and log it unless one of the same reason was logged within the last minute."""
        count = self._counts[reason] = self._counts.get(reason, 0) + times
        self._flow.notes["troubles"] = self._counts
        now_s = self._clock()
        last_s, logged = self._logged.get(reason, (-LOG_INTERVAL_S, 0))
        if now_s - last_s < LOG_INTERVAL_S:
            return
        self._logged[reason] = (now_s, count)
        shown = printable(detail[:_SHOWN_CHARACTERS])
        log.warning(
            "Trouble at a source: source=%s reason=%s new=%d in_all=%d%s",
            self._flow.name, reason, count - logged, count, f": {shown}" if shown else "",
        )  # fmt: skip
