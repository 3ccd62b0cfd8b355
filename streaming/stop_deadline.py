"""The end of a worker whose stop does not end by itself: it says what is still waited for, and goes.

What is durable is in Kafka and the history; a library's thread that does not come back must not hold a worker past the
time that it is granted to stop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

log = logging.getLogger(__name__)

STOP_WITHIN_S = 27.0  # of the 30 that the contract grants
MOST_TOLD = 40


class StopDeadline:
    """Ends the process so long after `begin`, unless it has ended by then.

    `unfinished` names what would be lost to be seen, though not lost: partitions that were not handed over. With none
    the exit status is 0, else 1. Runs in a thread of its own, as the event loop may be what is stuck.
    """

    def __init__(self, unfinished: Callable[[], Sequence[str]], *, within_s: float = STOP_WITHIN_S) -> None:
        self._unfinished = unfinished
        self._within_s = within_s
        self._begun = False

    def begin(self) -> None:
        """Start the clock; once more does nothing."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._wait, name="stop deadline", daemon=True).start()

    def _wait(self) -> None:
        threading.Event().wait(self._within_s)
        unfinished = list(self._unfinished())
        log.error(
            "Stopping took %g s, the worker ends now: %s. Still waited for:\n%s",
            self._within_s,
            f"not handed over: {', '.join(unfinished)}" if unfinished else "everything was handed over",
            "\n".join(waiting()),
        )
        logging.shutdown()
        os._exit(1 if unfinished else 0)


def waiting() -> list[str]:
    """A line for each task of any event loop of this process: its name, and where it waits."""
    tasks = [task for task in list(asyncio.tasks._all_tasks) if not task.done()]  # type: ignore[attr-defined]
    return [f"  {task.get_name()}: {' < '.join(_places(task.get_coro()))}" for task in tasks[:MOST_TOLD]]


def _places(awaited: Any) -> list[str]:
    """Innermost first, as a stack is read from its end."""
    places: list[str] = []
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            places.insert(0, f"{frame.f_code.co_name}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return places or ["?"]
