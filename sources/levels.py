"""The levels of reliability: what a source's events are promised while Kafka does not take them.

`end-to-end` is the producer itself. The other two are a `sources.base.Publish` around it, one for each source.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from parsers.event import Event
from sources.base import Publish
from sources.budget import Budget
from sources.errors import Overloaded, SourceError, Unavailable
from sources.spool.spool import Spool
from telemetry.flow import Flow

__all__ = ["BestEffort", "StoreOnFailure"]

log = logging.getLogger(__name__)

# What a `send` under way costs in memory besides its events' bytes: a task and what it refers to.
_SEND_OVERHEAD_BYTES = 4_096
_EVENT_OVERHEAD_BYTES = 200


class Checked(Publish, Protocol):
    """The way into Kafka, which can also tell beforehand what it will never take."""

    async def check(self, events: Sequence[Event]) -> int:
        """Returns the bytes that the events take. Raises: TooLarge."""


class StoreOnFailure:
    """Events are safe in Kafka or, while it does not take them, on the local disk when `send` returns.

    As long as the spool holds anything, later events go behind it, so that the order of a host's events is kept. `send`
    refuses only what is TooLarge, or with SpoolFull, Overloaded or BrokerUnavailable what neither Kafka nor the disk
    takes; nothing of it is kept then, but for what may have got into Kafka before it went away.

    Several sources share a spool. `flow` is this one's: what went to the spool is counted in `in_spool`, not in `sent`.
    """

    def __init__(self, kafka: Checked, spool: Spool, flow: Flow) -> None:
        self._kafka = kafka
        self._spool = spool
        self._flow = flow

    async def send(self, events: Sequence[Event]) -> None:
        """As `sources.base.Publish` says, with the disk in Kafka's place while that is away."""
        spool = self._spool
        if not spool.holding or await spool.emptied():
            try:
                await self._kafka.send(events)
            except Unavailable:
                pass
            else:
                return
        await self._kafka.check(events)
        await spool.keep(self._flow, events)
        self._flow.in_spool += len(events)
        self._flow.sent -= len(events)  # the source counts them there when this returns


class BestEffort:
    """`send` returns at once; what Kafka does not take is dropped, and counted in `flow` by reason.

    Memory: `max_waiting_bytes` of events on their way, what comes beyond is dropped. Only what is TooLarge is refused.
    Nothing survives a crash. The order of a host's events is kept but for those of very large requests.
    """

    def __init__(self, kafka: Checked, flow: Flow, *, max_waiting_bytes: int) -> None:
        self._kafka = kafka
        self._flow = flow
        self._budget = Budget(max_waiting_bytes)
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, events: Sequence[Event]) -> None:
        """Take the events or drop them. Raises: TooLarge."""
        held = await self._kafka.check(events) + _EVENT_OVERHEAD_BYTES * len(events) + _SEND_OVERHEAD_BYTES
        self._flow.sent -= len(events)  # the source counts them there when this returns; they are still on their way
        if not self._budget.take(held):
            self._drop(Overloaded(f"{self._budget.used_bytes} bytes are waiting for Kafka"), len(events))
            return
        task = asyncio.create_task(self._deliver(events, held), name=f"best effort of {self._flow.name}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def stop(self) -> None:
        """Wait for what is on its way. The producer that it goes to tells it within its own deadline."""
        while self._sending:
            await asyncio.wait(self._sending)

    async def _deliver(self, events: Sequence[Event], held: int) -> None:
        try:
            await self._kafka.send(events)
        except SourceError as error:
            self._drop(error, len(events))
        except Exception as error:
            log.exception("Events were dropped for a reason that is Sluice's own fault.")
            self._drop(Unavailable("internal", repr(error), retry_after_s=1), len(events))
        else:
            self._flow.sent += len(events)
        finally:
            self._budget.give(held)

    def _drop(self, error: SourceError, n_events: int) -> None:
        self._flow.reject(f"dropped_{error.reason}", n_events)
        self._flow.error(f"dropped: {error}")
