"""Makes up the traffic of all instances, writes it to their log files and hands it to their senders."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from deploy.demo.event import LogEvent
from deploy.demo.files import LogFiles
from deploy.demo.sender import POST_TIMEOUT_S, Sender, Tally, check
from deploy.demo.tomcat import Tomcat
from deploy.demo.weather import Incident, weather

INSTANCES = (("shop", "web-1"), ("shop", "web-2"), ("account", "web-3"))
TICK_S = 0.2
REPORT_S = 5.0
DRAIN_S = 30.0
_LONGEST_CATCH_UP_S = 1.0  # after a stall the missed traffic is not made up


@dataclass(frozen=True, slots=True)
class Wish:
    """What the person asked for. `events` and `seconds`: None is until Ctrl-C."""

    url: str
    directory: Path
    rate: float = 50.0  # events a second, on average over a wave
    events: int | None = None
    seconds: float | None = None
    seed: int | None = None


class Traffic:
    """One run of the demo. `stop()` may be called from a signal handler."""

    def __init__(self, wish: Wish, say: Callable[[str], None]) -> None:
        self._wish = wish
        self._say = say
        self._stop = asyncio.Event()
        self._rng = random.Random(wish.seed)
        self.tally = Tally()
        self._incident: Incident | None = None

    def stop(self) -> None:
        """Make up no more traffic; `run` ends when what was made is acknowledged, or after half a minute."""
        self._stop.set()

    async def run(self) -> bool:
        """Send until there is enough. Gives whether every event was acknowledged. Raises NothingListens, NotSluice."""
        timeout = aiohttp.ClientTimeout(total=POST_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            missing = await check(session, self._wish.url)
            if missing is not None:
                self._say(f"Sluice is not ready yet, what it can't take is sent again: {missing}")
            senders = [
                Sender(session, self._wish.url, service, host, self.tally, self._say) for service, host in INSTANCES
            ]
            running = [asyncio.create_task(sender.run()) for sender in senders]
            making = asyncio.create_task(self._make(senders))
            reporting = asyncio.create_task(self._report())
            try:
                # A sender only ends now if it failed: then no more is to be made.
                await asyncio.wait([making, *running], return_when=asyncio.FIRST_COMPLETED)
                for sender in senders:
                    sender.close()
                _, unfinished = await asyncio.wait(running, timeout=DRAIN_S)
            finally:
                for task in (making, *running, reporting):
                    task.cancel()
                results = await asyncio.gather(making, *running, reporting, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return not unfinished and self.tally.acknowledged == self.tally.sent

    async def _make(self, senders: Sequence[Sender]) -> None:
        wish = self._wish
        tomcats = [Tomcat(service, host, self._rng) for service, host in INSTANCES]
        files = [LogFiles(wish.directory, host) for _, host in INSTANCES]
        began = last = time.monotonic()
        end = math.inf if wish.seconds is None else began + wish.seconds
        due = 0.0
        while not self._stop.is_set():
            now = min(time.monotonic(), end)
            load, incident = weather(now - began)
            self._tell(incident)
            if not any(sender.full for sender in senders):
                due += wish.rate * load * min(now - last, _LONGEST_CATCH_UP_S)
            last = now
            if wish.events is not None:
                due = min(due, wish.events - self.tally.sent)
            made: list[list[LogEvent]] = [[] for _ in tomcats]
            # A request leaves one to three events: what is made too much now is owed to the next round.
            while due >= 1:
                chosen = self._rng.randrange(len(tomcats))
                events = list(tomcats[chosen].request(time.time(), incident))
                if wish.events is not None:
                    events = events[: int(due)]
                made[chosen].extend(events)
                due -= len(events)
            for events, log_files, sender in zip(made, files, senders, strict=True):
                if events:
                    log_files.append(events)
                    sender.put(events)
            if now >= end or (wish.events is not None and self.tally.sent >= wish.events):
                return
            await self._sleep(TICK_S)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except asyncio.TimeoutError:
            return

    async def _report(self) -> None:
        before = 0
        while True:
            await asyncio.sleep(REPORT_S)
            acknowledged = self.tally.acknowledged
            self._say(f"{self.summary()}, {(acknowledged - before) / REPORT_S:,.0f}/s")
            before = acknowledged

    def summary(self) -> str:
        """The tally in words."""
        tally = self.tally
        refused = f", {tally.refused:,} refused" if tally.refused else ""
        return f"{tally.sent:,} sent, {tally.acknowledged:,} acknowledged{refused}"

    def _tell(self, incident: Incident | None) -> None:
        if incident is not self._incident:
            if incident is not None:
                self._say(f"An incident begins in {incident.service}: {incident.name}")
            elif self._incident is not None:
                self._say(f"The incident in {self._incident.service} is over")
            self._incident = incident
