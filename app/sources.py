"""The sources of a worker: each `[[source]]` table becomes a source, and all of them run together."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence

from app.topics import RAW_LOG
from config.rpc_source import RpcSource
from config.settings import Reliability, Settings
from config.source import SourceConfig
from config.syslog_source import SyslogSource
from config.tail_source import TailSource
from sources.avro.source import Avro
from sources.base import Publish, Source
from sources.syslog.source import Syslog
from sources.tail.recall import KafkaRecall
from sources.tail.source import Tail
from sources.thrift.source import Thrift
from telemetry.flow import Flow

log = logging.getLogger(__name__)

# Of one record of a file; longer ones come in pieces. Brokers take a MiB if nothing else is set; where they take less,
# the source cuts shorter.
MAX_TAIL_EVENT_BYTES = 1_000_000
STOP_S = 7.0  # a source takes about five seconds at most; the worker has thirty for everything


def new_source(config: SourceConfig, publish: Publish, flow: Flow, settings: Settings) -> Source:
    """The source that a table asks for, not started."""
    if isinstance(config, RpcSource):
        return (Thrift if config.kind == "thrift" else Avro)(config, publish, flow)
    if isinstance(config, TailSource):
        return Tail(
            config,
            publish,
            flow,
            data_dir=settings.data_dir,
            hostname=socket.gethostname(),
            max_event_bytes=MAX_TAIL_EVENT_BYTES,
            recall=KafkaRecall(settings.bootstrap_servers, RAW_LOG),
        )
    if isinstance(config, SyslogSource):
        return Syslog(config, publish, flow)
    raise AssertionError(f"nobody builds sources of {type(config).__name__}")


def new_sources(
    configs: Sequence[SourceConfig], settings: Settings, publish_at: Callable[[Reliability, Flow], Publish]
) -> list[Source]:
    """A source for each table, each with a flow of its own and its way into Kafka at its level of reliability."""
    sources = []
    for config in configs:
        flow = Flow(config.common.name, "source")
        # A file is its own spool, and its position may be saved only when Kafka has the line.
        level = "end-to-end" if isinstance(config, TailSource) else config.common.reliability or settings.reliability
        publish = publish_at(level, flow)
        sources.append(new_source(config, publish, flow, settings))
    return sources


class Sources:
    """Starts and stops the sources of one worker."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._started: list[Source] = []

    async def start(self) -> None:
        """Start every source. Raises: CannotListen, after stopping those that had been started."""
        try:
            for source in self._sources:
                self._started.append(source)
                await source.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop all that were started, at the same time, within STOP_S; once more does nothing."""
        stopping, self._started = self._started, []
        ends = (asyncio.wait_for(source.stop(), STOP_S) for source in stopping)
        for source, error in zip(stopping, await asyncio.gather(*ends, return_exceptions=True), strict=True):
            if isinstance(error, BaseException):
                log.error("A source did not stop well: source=%s %r", source.flow.name, error)
