"""Hands events to Kafka until it has them: who waits for this does not read on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from parsers.event import Event
from sources.base import Publish
from sources.errors import SourceError
from sources.once import Troubles
from telemetry.flow import Flow

log = logging.getLogger(__name__)

_FIRST_BACKOFF_S: Final = 0.1
_MAX_BACKOFF_S: Final = 2.0


class Delivery:
    """The way of one source's events into Kafka, for senders that cannot be told to send again.

    Counts in `flow` what becomes of each event; `received` is the caller's. Safe for concurrent use by tasks of one
    event loop: each waits for its own events.
    """

    def __init__(
        self, publish: Publish, flow: Flow, troubles: Troubles, first_backoff_s: float = _FIRST_BACKOFF_S
    ) -> None:
        self._publish = publish
        self._flow = flow
        self._troubles = troubles
        self._first_backoff_s = first_backoff_s
        self._backing_off = 0

    async def send(self, events: Sequence[Event]) -> None:
        """Return when each of the events is in Kafka (or wherever the level lets it be), or counted as rejected.

        Tries again for as long as Kafka does not take them; in the end it may have some of them twice. An event that is
        too large for Kafka is rejected by itself. Cancelled, it counts what is not delivered as rejected (`stopping`).
        """
        waiting = [events]
        try:
            while waiting:
                too_large = await self._send(waiting[-1])
                refused = waiting.pop()
                if too_large is None:
                    continue
                if len(refused) == 1:
                    self._flow.reject(too_large.reason)
                    self._troubles.note(too_large.reason, str(too_large))
                else:
                    middle = len(refused) // 2
                    waiting += (refused[middle:], refused[:middle])
        except asyncio.CancelledError:
            self._flow.reject("stopping", sum(map(len, waiting)))
            raise
        except Exception:
            lost = sum(map(len, waiting))
            self._flow.reject("failed", lost)
            log.error("Events are lost for an error of ours source=%s events=%d", self._flow.name, lost)
            raise

    async def _send(self, events: Sequence[Event]) -> SourceError | None:
        """None when they are delivered, or the verdict on them that is final."""
        backoff_s = self._first_backoff_s
        backing_off = False
        try:
            while True:
                try:
                    await self._publish.send(events)
                except SourceError as error:
                    if not error.retriable:
                        return error
                    self._flow.error(str(error))
                    if not backing_off:
                        backing_off = True
                        self._backing_off += 1
                        self._flow.state = "backing off"
                        self._troubles.note("waiting_for_kafka", str(error))
                else:
                    self._flow.accepted += len(events)
                    self._flow.sent += len(events)
                    return None
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, _MAX_BACKOFF_S)
        finally:
            self._backing_off -= backing_off
            if backing_off and not self._backing_off and self._flow.state == "backing off":
                self._flow.state = "running"
