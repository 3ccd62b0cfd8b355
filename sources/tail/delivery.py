"""Sends batches until Kafka has them, and knows from which raw offsets on the unsaved ones must stand."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

from parsers.event import Event
from sources.base import Publish
from sources.errors import BrokerUnavailable, Overloaded, TooLarge
from sources.tail.reader import Batch
from sources.tail.recall import Reached, Recall, RecallFailed
from telemetry.flow import Flow

log = logging.getLogger(__name__)

_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class Delivery:
    """The way of one source's batches into Kafka; keeps its flow's counters and state.

    A batch is tried until Kafka has it: a file waits. Where an attempt may have brought some of it to Kafka, that is
    looked up first, so that it is not sent twice.
    """

    def __init__(self, publish: Publish, flow: Flow, host: str, recall: Recall | None) -> None:
        self._publish = publish
        self._flow = flow
        self._host = host
        self._recall = recall
        self._ends: Mapping[int, int] = {}  # of raw-log, as known before what is sent now
        self._since: dict[int, Mapping[int, int]] = {}  # those that were known when a batch was first sent
        self._retrying = 0
        self._next_number = 0

    def unsaved_since(self) -> dict[int, int]:
        """Raw offsets behind which all stands that is sent, but not acknowledged yet, and all that will be sent."""
        known = [*self._since.values(), self._ends]
        return {partition: min(ends.get(partition, 0) for ends in known) for partition in self._ends}

    async def refresh(self) -> None:
        """Ask for the newest ends. Raises RecallFailed, with the old ones still good."""
        if self._recall is not None:
            self._ends = await self._recall.ends()

    async def recalled(self, ids: Sequence[str], since: Mapping[int, int]) -> dict[str, Reached]:
        """Up to where raw-log has some contents; asks until it is told."""
        attempt = 0
        while self._recall is not None:
            try:
                return await self._recall.newest(self._host, frozenset(ids), since)
            except RecallFailed as error:
                self.failed(error)
            await _pause(attempt)
            attempt += 1
        return {}

    def failed(self, error: Exception) -> None:
        """Note an error; the log has it when it is another than before."""
        text = str(error)
        if text != self._flow.last_error:
            log.warning("Not sent, trying again source=%s: %s", self._flow.name, text)
        self._flow.error(text)

    async def send(self, id: str, batch: Batch) -> int:
        """Return how many of the events Kafka has: all, unless one is larger than the brokers take.

        Ends only then or when cancelled.
        """
        flow = self._flow
        flow.received += len(batch.events)
        flow.received_bytes += batch.n_bytes
        number = self._next_number = self._next_number + 1
        self._since[number] = self._ends
        sent = 0
        try:
            sent = await self._send(id, batch, number)
            return sent
        finally:
            del self._since[number]
            flow.sent += sent
            flow.accepted += sent
            flow.sent_bytes += sum(len(event.body) for event in batch.events[:sent])
            unsent = batch.events[sent:]  # read again later, and counted then
            flow.received -= len(unsent)
            flow.received_bytes -= sum(len(event.body) for event in unsent)
            if sent:
                flow.last_event_at_ms = int(time.time() * 1000)

    async def _send(self, id: str, batch: Batch, number: int) -> int:
        done, most = 0, len(batch.events)
        attempt = 0
        while done < len(batch.events):
            events: Sequence[Event] = batch.events[done : done + most]
            try:
                await self._publish.send(events)
            except TooLarge as error:
                if len(events) == 1:
                    self.failed(error)
                    return done
                most = len(events) // 2
                continue
            except Overloaded as error:
                await self._back_off(error, attempt)
            except BrokerUnavailable as error:
                await self._back_off(error, attempt)
                reached = (await self.recalled([id], self._since[number])).get(id)
                while reached is not None and done < len(batch.events) and batch.ends[done] <= reached:
                    done += 1
            else:
                done += len(events)
                attempt = -1
                if not self._retrying:
                    self._flow.state = "running"
            attempt += 1
        return done

    async def _back_off(self, error: Exception, attempt: int) -> None:
        self.failed(error)
        self._flow.state = "backing off"
        self._retrying += 1
        try:
            await _pause(attempt)
        finally:
            self._retrying -= 1


async def _pause(attempt: int) -> None:
    await asyncio.sleep(_BACKOFF_S[min(attempt, len(_BACKOFF_S) - 1)])
