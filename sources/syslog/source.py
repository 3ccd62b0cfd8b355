"""The syslog source: messages over UDP, TCP and TLS become events."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from ssl import SSLContext
from typing import Final

from config.listen import ListenAddress
from config.syslog_source import SyslogSource
from parsers.event import Event
from parsers.syslog import INCOMPLETE, INVALID, STATUS, SyslogParser
from parsers.syslog_frames import Frame, Framer, trimmed
from sources.base import Publish
from sources.certificates import server_context
from sources.client import READ_AHEAD_BYTES, ClientTrouble, Connection
from sources.listener import Listener, ListenLimits
from sources.once import Troubles
from sources.syslog.delivery import Delivery
from sources.syslog.udp import Datagram, UdpListener
from telemetry.flow import Flow

log = logging.getLogger(__name__)

_GRACE_S: Final = 5.0
_WATCH_S: Final = 1.0
# Messages of one connection on their way at a time: some 64 KiB of usual ones, and of the shortest ones not a
# thousand times the memory that they had as bytes.
_BATCH: Final = 512


class Syslog:
    """Listens at the addresses of one `[[source]]` table; a `sources.base.Source`.

    Unit of parallelism: a connection, or a UDP address. Guarantee: a TCP client is read on only when Kafka has (or the
    level has otherwise taken) what it sent before, so that a client with a queue of its own, such as rsyslog, keeps the
    rest; syslog has no acknowledgements, so what is in the kernels' buffers when a connection breaks is lost. UDP
    messages wait in a bounded queue, then are dropped and counted. Nothing survives a crash; a stop sends what was
    read.

    `flow` counts messages: received = sent + rejected + in_spool + in flight. Its notes: connections, the bytes in the
    UDP queues, invalid and incomplete messages (which are kept), troubles by reason.
    """

    def __init__(self, config: SyslogSource, publish: Publish, flow: Flow) -> None:
        self.flow = flow
        self._config = config
        self._parser = SyslogParser(zone=config.zone, keep=config.keep)
        self._troubles = Troubles(flow)
        self._delivery = Delivery(publish, flow, self._troubles)
        self._tcp: list[Listener] = []
        self._udp: list[UdpListener] = []
        self._watcher: asyncio.Task[None] | None = None

    @property
    def ports(self) -> list[int]:
        """The ports in use: of TCP and TLS in the order of the table, then of UDP."""
        listeners: list[Listener | UdpListener] = [*self._tcp, *self._udp]
        return [listener.port for listener in listeners]

    async def start(self) -> None:
        """Listen at every address, and return. Raises: CannotListen; nothing is left open then."""
        try:
            for address in self._config.listen:
                if address.transport == "udp":
                    udp = self._new_udp(address)
                    await udp.start()
                    self._udp.append(udp)
                else:
                    tcp = self._new_tcp(address)
                    await tcp.start()
                    self._tcp.append(tcp)
        except BaseException:
            await self.stop()
            raise
        self._watch_once()
        self._watcher = asyncio.create_task(self._watch(), name=f"watch {self.flow.name}")
        self.flow.state = "running"

    async def stop(self) -> None:
        """Take nothing new, deliver what was read within 5 s, close. What is not delivered is counted. Idempotent."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            self._watcher = None
        listeners: list[Listener | UdpListener] = [*self._tcp, *self._udp]
        await asyncio.gather(*(listener.stop(_GRACE_S) for listener in listeners))
        self._watch_once()
        lost = self.flow.rejected.get("stopping")
        if listeners and lost:
            log.error(
                "Kafka did not take in time what was read before the stop source=%s messages=%d", self.flow.name, lost
            )
        self._tcp, self._udp = [], []
        self.flow.state = "stopped"

    def _new_udp(self, address: ListenAddress) -> UdpListener:
        return UdpListener(
            address,
            self._take_datagrams,
            flow=self.flow,
            troubles=self._troubles,
            queue_bytes=self._config.udp_queue_bytes,
        )

    def _new_tcp(self, address: ListenAddress) -> Listener:
        config = self._config
        limits = ListenLimits(
            max_connections=config.max_connections,
            max_per_peer=max(1, config.max_connections // 2),
            idle_timeout_s=config.idle_timeout_s,
        )
        return Listener(address, self._serve, ssl=self._tls(address), limits=limits, on_refused=self._troubles.note)

    def _tls(self, address: ListenAddress) -> SSLContext | None:
        config = self._config
        if address.transport != "tls" or config.cert is None or config.key is None:
            return None
        return server_context(address, config.cert, config.key, config.client_ca)

    # TCP: a connection's messages, in order.

    async def _serve(self, connection: Connection) -> None:
        framer = Framer(self._config.max_message_bytes)
        try:
            try:
                while data := await connection.read_some(READ_AHEAD_BYTES):
                    framer.feed(data)
                    while frames := framer.take(_BATCH):
                        await self._take(frames, connection.peer)
            except ClientTrouble:
                await self._take(framer.finish(clean=False), connection.peer)
                raise
            await self._take(framer.finish(connection.ended_by_client), connection.peer)
        except asyncio.CancelledError:  # the grace of a stop is over: what is left was received, too
            while frames := framer.take(_BATCH):
                self._count(frames)
                self.flow.reject("stopping", len(frames))
            raise

    async def _take(self, frames: Sequence[Frame], peer: str) -> None:
        if frames:
            self._count(frames)
            await self._delivery.send([self._event(frame, peer) for frame in frames])

    # UDP: a datagram is a message.

    async def _take_datagrams(self, datagrams: Sequence[Datagram]) -> None:
        most = self._config.max_message_bytes
        events = []
        for datagram in datagrams:
            message = trimmed(datagram.data)
            if not message:
                self.flow.reject("empty")
                continue
            if len(message) <= most:
                events.append(self._event(Frame(message, "whole"), datagram.peer))
                continue
            events.append(self._event(Frame(message[:most], "begin"), datagram.peer))
            for start in range(most, len(message), most):
                self.flow.received += 1  # the datagram itself was counted when it came
                events.append(self._event(Frame(message[start : start + most], "rest"), datagram.peer))
        await self._delivery.send(events)

    def _count(self, frames: Sequence[Frame]) -> None:
        self.flow.received += len(frames)
        self.flow.received_bytes += sum(len(frame.data) for frame in frames)
        self.flow.last_event_at_ms = int(time.time() * 1000)

    def _event(self, frame: Frame, peer: str) -> Event:
        if frame.part == "rest":
            event = self._parser.remainder(frame.data)
        else:
            event = self._parser.parse(frame.data, cut=frame.part == "begin")
        status = event.headers.get(STATUS)
        if status is not None:
            name = {INVALID: "invalid", INCOMPLETE: "incomplete"}[status]
            self.flow.notes[name] = self.flow.notes.get(name, 0) + 1
        common = self._config.common
        if common.override:
            return Event({"host": peer, **event.headers, **common.headers}, event.body)
        return Event({"host": peer, **common.headers, **event.headers}, event.body)

    # What operators see.

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            self._watch_once()

    def _watch_once(self) -> None:
        notes = self.flow.notes
        if self._tcp:
            notes["connections"] = sum(listener.connections for listener in self._tcp)
        for listener in self._udp:
            listener.count_kernel_drops()
        if self._udp:
            notes["udp_queued_bytes"] = sum(listener.queued_bytes for listener in self._udp)
            notes["udp_receive_buffer_bytes"] = min(listener.receive_buffer_bytes for listener in self._udp)
