"""Brings the parts of a worker up once Kafka answers, and down in the order in which nothing is lost.

Start: spool and sources; brokers answer -> topics -> sources' producer -> reports to other workers -> local state ->
monitor -> history. Sources need no broker: what they do without one is said by their level of reliability.
Stop: sources take nothing new; their producer drains; then the consumer groups, each finishing its lanes; then the
local state.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mode import Service
from mode.services import ServiceT

from app.health import Check
from app.intake import Intake
from app.lane_states import worst_of
from sources.errors import CannotListen, SpoolUnusable
from streaming.app import BatchApp
from streaming.changelog import Follower
from streaming.ending import end_worker
from streaming.errors import BrokerUnavailable, CannotStart
from streaming.store import Store
from streaming.topics import TopicSpec, ensure_topics
from telemetry.flow import State

log = logging.getLogger(__name__)

RETRY_S = (0.5, 1.0, 2.0, 4.0)
DRAIN_S = 8.0  # what the sources' producer gets when the worker stops; the lanes get the rest of 30 s


class WindowState(Service):
    """The windows' local copies, followed for the partitions of others. Closed last, when no lane writes any more."""

    mundane_level = "debug"

    def __init__(self, open_store: Callable[[], Store], new_follower: Callable[[Store, int], Follower]) -> None:
        super().__init__()
        self._open_store = open_store
        self._new_follower = new_follower
        self.store: Store | None = None
        self.follower: Follower | None = None
        self.partitions = 0

    async def open(self, partitions: int) -> Follower:
        """Open the store for so many partitions. Raises CannotStart."""
        self.partitions = partitions
        self.store = await asyncio.to_thread(self._open_store)
        self.follower = self._new_follower(self.store, partitions)
        await self.add_runtime_dependency(self.follower)
        return self.follower

    async def on_shutdown(self) -> None:
        """Close the store; the follower has stopped."""
        if self.store is not None:
            self.store.close()
            self.store = None


class Pipeline(Service):
    """Everything of a worker behind the web. `new_apps` builds the consumer groups' applications for this worker."""

    mundane_level = "debug"

    def __init__(
        self,
        *,
        servers: Sequence[str],
        specs: Sequence[TopicSpec],
        intake: Intake | None,
        state: WindowState,
        raw_log: str,
        reporting: Sequence[ServiceT],
        new_apps: Callable[[Follower], Sequence[BatchApp]],
    ) -> None:
        super().__init__()
        self._servers = servers
        self._specs = specs
        self._intake = intake
        self._raw_log = raw_log
        self._reporting = reporting
        self._new_apps = new_apps
        self.windows = state
        self.apps: list[BatchApp] = []
        self._waiting_for: str | None = "brokers"

    @Service.task
    async def _bring_up(self) -> None:
        if self._intake is not None:
            try:
                await self._intake.start()
            except (CannotListen, SpoolUnusable) as exc:
                self._give_up(exc)
                return
        partitions = await self._ensure_topics()
        if self.should_stop:
            return
        if self._intake is not None:
            await self._intake.connect()
        for service in self._reporting:
            await self.add_runtime_dependency(service)
        self._waiting_for = "local state"
        await self.add_runtime_dependency(self.windows)
        try:
            follower = await self.windows.open(partitions[self._raw_log])
        except CannotStart as exc:
            self._give_up(exc)
            return
        self._waiting_for = "consumer groups"  # a check knows only the applications that are there already
        for app in self._new_apps(follower):
            if self.should_stop:
                return
            app.finalize()
            self.apps.append(app)
            await self.add_runtime_dependency(app)
        self._waiting_for = None

    def _give_up(self, exc: Exception) -> None:
        self._waiting_for = str(exc)
        end_worker(self, exc)

    @Service.task
    async def _say_readiness(self) -> None:
        """Log when the worker gets ready, and when and why it is not any more."""
        said: str | None = None
        while not self.should_stop:
            reasons = "; ".join(f"{check.name}: {check.detail}" for check in self.checks() if not check.ok)
            if said is None and not reasons:
                log.info("Ready: %s", self.partitions() or "no partitions to look after")
                said = ""
            elif said is not None and bool(reasons) != bool(said):
                if reasons:
                    log.warning("Not ready: %s", reasons)
                else:
                    log.info("Ready again")
                said = reasons
            await self.sleep(0.5)

    async def _ensure_topics(self) -> dict[str, int]:
        attempt = 0
        while not self.should_stop:
            try:
                return await ensure_topics(self._servers, self._specs)
            except BrokerUnavailable as exc:
                pause_s = RETRY_S[min(attempt, len(RETRY_S) - 1)]
                if attempt in (0, 5) or attempt % 30 == 0:
                    log.warning("No Kafka broker answers, trying again every few seconds: %s", exc)
                self._waiting_for = f"brokers: {exc}"
                attempt += 1
                await self.sleep(pause_s)
        return {}

    async def on_stop(self) -> None:
        """Let the sources drain first; mode then stops the applications and the state, newest first."""
        if self._intake is not None:
            await self._intake.stop(DRAIN_S)

    def checks(self) -> list[Check]:
        """What this worker knows of its parts."""
        checks = [Check("startup", self._waiting_for is None, self._waiting_for or "")]
        if self._intake is not None:
            checks.append(Check("ingest", self._intake.ready, "" if self._intake.ready else "not connected to Kafka"))
        for app in self.apps:
            problems = [] if app.assigned else ["waiting for the group to assign partitions"]
            problems += [problem for lanes in app.lane_groups for problem in lanes.problems()]
            ready = app.assigned and all(lanes.ready for lanes in app.lane_groups)
            checks.append(Check(app.conf.id, ready, "; ".join(problems[:8])))
        follower = self.windows.follower
        if follower is not None:
            behind = follower.error or ("" if follower.caught_up else "recovering from the changelog")
            checks.append(Check("tables", not behind, behind))
        return checks

    def state_of(self, group: str) -> State:
        """How a group's lanes are here, for the flows that they feed: the worst of them."""
        states = [
            lane.state
            for app in self.apps
            if app.conf.id == group and app.assigned
            for lanes in app.lane_groups
            for lane in lanes.lanes.values()
        ]
        if not states:
            return "running" if any(app.conf.id == group and app.assigned for app in self.apps) else "starting"
        return worst_of(states)

    def held(self) -> list[str]:
        """Partitions that have a lane here, by name."""
        return [f"{group} {self._raw_log}[{number}]" for group, held in self.partitions().items() for number in held]

    def partitions(self) -> dict[str, list[int]]:
        """Partitions of raw-log that this worker has, by group."""
        return {app.conf.id: [p for lanes in app.lane_groups for p in lanes.owned()] for app in self.apps}
