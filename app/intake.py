"""The role `ingest`: sources, their levels of reliability, the spool and the producer, up and down in order."""

from __future__ import annotations

from collections.abc import Sequence

from app.sources import Sources, new_sources
from config.settings import Reliability, Settings
from config.source import SourceConfig
from sources.base import Publish
from sources.levels import BestEffort, StoreOnFailure
from sources.producer import GroupCommitProducer
from sources.spool.spool import Spool
from telemetry.flow import Flow


class Intake:
    """All of a worker that takes logs in. `flows` gets the flow of every source, and the spool's where it is used.

    Building opens nothing. The spool is opened where a source may need it, and where an earlier run left one.
    """

    def __init__(
        self, settings: Settings, sources: Sequence[SourceConfig], producer: GroupCommitProducer, flows: list[Flow]
    ) -> None:
        self._flows = flows
        self._producer = producer
        self._path = settings.data_dir / "spool"
        self._spool_flow = Flow("spool", "destination")
        self._spool = Spool(
            self._path, producer, self._spool_flow, self._flow_of, max_bytes=settings.spool_max_bytes
        )  # fmt: skip
        self._spool_wanted = False
        self._best_effort_bytes = settings.ingest_max_bytes // 4
        self._best_efforts: list[BestEffort] = []
        self._sources = Sources(new_sources(sources, settings, self.publish))

    @property
    def ready(self) -> bool:
        """Whether Kafka takes events."""
        return self._producer.ready

    def publish(self, level: Reliability, flow: Flow) -> Publish:
        """The way into Kafka for a source, at its level."""
        self._flows.append(flow)
        if level == "store-on-failure":
            self._spool_wanted = True
            return StoreOnFailure(self._producer, self._spool, flow)
        if level == "best-effort":
            best_effort = BestEffort(self._producer, flow, max_waiting_bytes=self._best_effort_bytes)
            self._best_efforts.append(best_effort)
            return best_effort
        return self._producer

    async def start(self) -> None:
        """Open the spool and begin to take events in; Kafka need not be there. Raises: SpoolUnusable, CannotListen."""
        if self._spool_wanted or self._path.exists():
            self._flows.append(self._spool_flow)
            await self._spool.start()
        await self._sources.start()

    async def connect(self) -> None:
        """Begin to connect to Kafka, whose topic is there."""
        await self._producer.start()

    async def stop(self, drain_s: float) -> None:
        """Take nothing new, let Kafka have within `drain_s` what was taken; what it does not take goes to the spool."""
        await self._sources.stop()
        await self._spool.stop_delivering()
        await self._producer.stop(drain_s)
        for best_effort in self._best_efforts:
            await best_effort.stop()
        await self._spool.close()

    def _flow_of(self, name: str) -> Flow:
        """The flow of a source; of one that is no more, too, as its events may still be in the spool."""
        for flow in self._flows:
            if flow.kind == "source" and flow.name == name:
                return flow
        flow = Flow(name, "source", state="stopped")
        flow.notes["gone"] = "its last events were in the spool; it is not in the routes file"
        self._flows.append(flow)
        return flow
