"""Gets the events of one request into Kafka, and says whether the sender may forget them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from config.source import SourceCommon
from parsers.event import Event
from sources.base import Publish, with_headers
from sources.errors import SourceError, TooLarge
from sources.rpc.oversize import fit
from telemetry.flow import Flow

log = logging.getLogger(__name__)

# A request is cut in two, or its events are, this often at most before it is refused.
_MOST_CUTS = 50


class Delivery:
    """One for a source. Guarantee: `deliver` says True once `publish` has taken every event, False where the sender is
    to send all of them again (some may be in Kafka then: at-least-once, as Flume's own sources).

    An event that is larger than the brokers take is split into several (`sources.rpc.oversize`), each of which counts:
    a sender that is told "failed" would send it again for ever, and everything behind it would wait.
    """

    def __init__(
        self, common: SourceCommon, publish: Publish, flow: Flow, now_s: Callable[[], float] = time.time
    ) -> None:
        self._common = common
        self._publish = publish
        self._flow = flow
        self._now_s = now_s

    async def deliver(self, events: Sequence[Event]) -> bool:
        """Whether the events are taken. Raises nothing but CancelledError; some events may be taken then."""
        flow = self._flow
        events = self._with_headers(events)
        left = len(events)
        flow.received += left
        flow.received_bytes += sum([len(event.body) for event in events])
        pending: list[Sequence[Event]] = [events] if events else []
        cuts = 0
        try:
            while pending:
                batch = pending.pop()
                try:
                    await self._publish.send(batch)
                except TooLarge as error:
                    cuts += 1
                    smaller = _smaller(batch, error, cuts)
                    more = sum(map(len, smaller)) - len(batch)
                    left += more
                    flow.received += more
                    self._note_split(more)
                    pending += reversed(smaller)
                    continue
                flow.accepted += len(batch)
                flow.sent += len(batch)
                left -= len(batch)
        except SourceError as error:
            self._refuse(error.reason, str(error), left)
            flow.state = "backing off" if error.retriable else flow.state
            return False
        except asyncio.CancelledError:
            self._refuse("cancelled", "the source stopped before Kafka acknowledged", left)
            raise
        except Exception as error:
            log.exception("A request failed for a reason that is Sluice's own fault source=%s", flow.name)
            self._refuse("internal", f"{type(error).__name__}: {error}", left)
            return False
        flow.state = "running"
        flow.last_event_at_ms = int(self._now_s() * 1000)
        return True

    def _with_headers(self, events: Sequence[Event]) -> Sequence[Event]:
        common = self._common
        if not common.headers:
            return events
        # Events that share their headers (parsers/thrift_reader.py) share them afterwards: cheap here and in Kafka.
        completed = []
        before = after = None
        for headers, body in events:
            if headers is not before or after is None:
                before = headers
                after = with_headers(headers, common.headers, common.override)
            completed.append(Event(after, body))
        return completed

    def _refuse(self, reason: str, text: str, records: int) -> None:
        self._flow.reject(reason, records)
        self._flow.error(text)

    def _note_split(self, more: int) -> None:
        if more:
            notes = self._flow.notes
            if not notes.get("split_events"):
                log.warning("Events larger than the brokers take are split source=%s (told once)", self._flow.name)
            notes["split_events"] = notes.get("split_events", 0) + more


def _smaller(batch: Sequence[Event], error: TooLarge, cuts: int) -> list[Sequence[Event]]:
    """The same events in smaller pieces. Raises `error` where there are none."""
    if cuts > _MOST_CUTS:
        raise error
    if error.limit_bytes is None and len(batch) > 1:
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    # Where no limit is known, the event is all there is, and half of it may do.
    limit_bytes = error.limit_bytes or len(batch[0].body) // 2
    fitting = fit(batch, limit_bytes)
    if len(fitting) == len(batch):  # estimated to fit, and did not
        fitting = fit(batch, limit_bytes // 2)
    if len(fitting) == len(batch):
        raise error
    return [fitting]
