"""The syslog source on real sockets, with a stand-in for Kafka that can be slow, away, or back again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop

from config.listen import ListenAddress
from config.source import SourceCommon
from config.syslog_source import SyslogSource
from parsers.event import Event
from sources.errors import BrokerUnavailable, CannotListen
from sources.syslog.source import Syslog
from telemetry.flow import Flow
from tests.support.polling import wait_until_async

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DEADLINE_S = 60.0
TCP = ListenAddress("tcp", "127.0.0.1", 0)
UDP = ListenAddress("udp", "127.0.0.1", 0)
STATUS = "flume.syslog.status"


class Broker:
    """Takes events at once, or only when `open` is set; or refuses them while `away`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.away = False
        self.events: list[Event] = []
        self.largest_batch = 0

    @property
    def bodies(self) -> list[bytes]:
        return [event.body for event in self.events]

    async def send(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        await self.open.wait()
        if self.away:
            raise BrokerUnavailable("away")
        self.largest_batch = max(self.largest_batch, len(events))
        self.events += events


@contextlib.asynccontextmanager
async def running(
    *listen: ListenAddress, headers: dict[str, str] | None = None, override: bool = False, **options: Any
) -> AsyncIterator[tuple[Syslog, Broker]]:
    broker = Broker()
    config = SyslogSource(SourceCommon("syslog", headers or {}, override, None), listen, **options)
    source = Syslog(config, broker, Flow("syslog", "source"))
    await source.start()
    try:
        yield source, broker
    finally:
        broker.open.set()
        broker.away = False
        await source.stop()
        flow = source.flow
        assert flow.received == flow.sent + sum(flow.rejected.values())
        assert flow.state == "stopped"


async def until(condition: Callable[[], bool], what: str = "the source's state") -> None:
    async def ask() -> bool:
        return condition()

    await wait_until_async(ask, DEADLINE_S, what)


async def send(port: int, data: bytes, **options: Any) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, **options)
    writer.write(data)
    await writer.drain()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def datagrams(port: int, *messages: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, ("127.0.0.1", port))


async def test_lines_and_counted_messages_over_tcp() -> None:
    async with running(TCP) as (source, broker):
        await send(source.ports[0], b"<13>Nov  1 00:00:00 web-1 one\n27 <13>1 - web-2 app - - - x\ny<14>three\r\nlast")
        await until(lambda: len(broker.events) == 4)
        assert broker.events == [
            Event(
                {"host": "web-1", "Facility": "1", "Severity": "5", "priority": "13",
                 "timestamp": broker.events[0].headers["timestamp"]}, b"one",
            ),
            Event(
                {"host": "web-2", "Facility": "1", "Severity": "5", "priority": "13", "version": "1", "app": "app"},
                b"app - - - x\ny",
            ),
            Event({"host": "127.0.0.1", "Facility": "1", "Severity": "6"}, b"<14>three"),
            Event({"host": "127.0.0.1", "Facility": "0", "Severity": "0", STATUS: "Invalid"}, b"last"),
        ]  # fmt: skip
        await until(lambda: source.flow.sent == 4)
        assert source.flow.notes["invalid"] == 1
        assert source.flow.last_event_at_ms is not None


async def test_datagrams() -> None:
    async with running(UDP) as (source, broker):
        long = b"<13>" + b"x" * 60_000
        datagrams(source.ports[0], b"<13>Nov  1 00:00:00 web-1 one\n", b"<13>two\nlines", b"", b"\n", b"junk\0", long)
        await until(lambda: len(broker.events) == 4)
        assert broker.bodies == [b"one", b"<13>two\nlines", b"junk", long]
        assert [event.headers["host"] for event in broker.events] == ["web-1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]
        await until(lambda: source.flow.rejected == {"empty": 2})


@pytest.mark.parametrize("listen", [TCP, UDP])
async def test_what_is_too_long_is_cut_and_marked_and_nothing_is_lost(listen: ListenAddress) -> None:
    async with running(listen, max_message_bytes=480) as (source, broker):
        message = b"<13>" + bytes(range(97, 123)) * 40
        if listen is TCP:
            await send(source.ports[0], message + b"\n<14>next\n")
        else:
            datagrams(source.ports[0], message, b"<14>next")
        await until(lambda: len(broker.events) == 4)
        assert b"".join(broker.bodies[:3]) == message
        assert [event.headers.get(STATUS) for event in broker.events] == ["Incomplete", "Invalid", "Invalid", None]
        assert broker.bodies[3] == b"<14>next"
        assert (source.flow.notes["incomplete"], source.flow.notes["invalid"]) == (1, 2)


async def test_headers_of_the_event_win_over_the_sources_and_these_over_the_senders_address() -> None:
    own = {"type": "syslog", "host": "rack-7", "Facility": "mine"}
    lines = b"<13>Nov  1 00:00:00 web-1 a\n<13>b\n"
    async with running(TCP, headers=own) as (source, broker):
        await send(source.ports[0], lines)
        await until(lambda: len(broker.events) == 2)
        assert [event.headers["host"] for event in broker.events] == ["web-1", "rack-7"]
        assert [event.headers["Facility"] for event in broker.events] == ["1", "1"]
        assert all(event.headers["type"] == "syslog" for event in broker.events)
    async with running(TCP, headers=own, override=True) as (source, broker):
        await send(source.ports[0], lines)
        await until(lambda: len(broker.events) == 2)
        assert [event.headers["host"] for event in broker.events] == ["rack-7", "rack-7"]
        assert [event.headers["Facility"] for event in broker.events] == ["mine", "mine"]


async def test_a_client_waits_while_kafka_does_not_take_its_messages() -> None:
    async with running(TCP) as (source, broker):
        broker.open.clear()
        total = 8_000  # 32 MB: more than the kernel's buffers take
        sending = asyncio.create_task(send(source.ports[0], b"<13>Nov  1 00:00:00 web-1 %s\n" % (b"x" * 4000) * total))
        await until(lambda: source.flow.received > 0)
        await asyncio.sleep(0.2)
        assert not sending.done()
        assert source.flow.received <= 512
        broker.open.set()
        await until(lambda: len(broker.events) == total, "all messages")
        await sending
        assert broker.largest_batch <= 512
        assert source.flow.rejected == {}


async def test_tcp_loses_nothing_while_kafka_is_away() -> None:
    async with running(TCP) as (source, broker):
        broker.away = True
        lines = [b"<13>line %d" % number for number in range(1000)]
        await send(source.ports[0], b"\n".join(lines))
        await until(lambda: source.flow.state == "backing off")
        broker.away = False
        await until(lambda: len(broker.events) == 1000)
        assert broker.bodies == lines
        await until(lambda: source.flow.state == "running")


async def test_udp_waits_in_a_bounded_queue_and_then_drops_are_counted() -> None:
    async with running(UDP, udp_queue_bytes=131_072) as (source, broker):
        broker.away = True
        for start in range(0, 2000, 200):
            datagrams(source.ports[0], *(b"<13>%05d" % number for number in range(start, start + 200)))
            await until(lambda start=start: source.flow.received == start + 200)  # type: ignore[misc]
        assert source.flow.rejected["udp_queue_full"] == 2000 - 131_072 // 209
        assert source.flow.notes["troubles"]["udp_queue_full"] == source.flow.rejected["udp_queue_full"]
        broker.away = False
        await until(lambda: len(broker.events) == 131_072 // 209)
        assert broker.bodies == [b"<13>%05d" % number for number in range(131_072 // 209)]


async def test_what_the_kernel_drops_is_counted() -> None:
    async with running(UDP) as (source, broker):
        for opened in source._udp[0]._sockets:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        datagrams(source.ports[0], *(b"<13>%05d" % number for number in range(1000)))  # the loop reads none of them
        await until(lambda: source.flow.received == 1000)
        dropped = source.flow.rejected["udp_kernel_drops"]
        assert 0 < dropped < 1000
        await until(lambda: len(broker.events) == 1000 - dropped)
        assert source.flow.notes["udp_receive_buffer_bytes"] > 4096


async def test_a_stop_sends_what_was_read() -> None:
    async with running(TCP, UDP) as (source, broker):
        _, writer = await asyncio.open_connection("127.0.0.1", source.ports[0])
        broker.open.clear()
        writer.write(b"".join(b"<13>line %d\n" % number for number in range(1000)) + b"<13>begun")
        datagrams(source.ports[1], *(b"<14>%d" % number for number in range(100)))
        await until(lambda: source.flow.received >= 512 + 100)
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0)
        broker.open.set()
        await stopping
        writer.close()
        assert sorted(broker.bodies) == sorted(
            [b"<13>line %d" % number for number in range(1000)]
            + [b"<14>%d" % number for number in range(100)]
            + [b"<13>begun"]
        )
        (begun,) = (event for event in broker.events if event.body == b"<13>begun")
        assert begun.headers[STATUS] == "Incomplete"


async def test_a_stop_does_not_wait_for_a_kafka_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sources.syslog.source._GRACE_S", 0.1)
    async with running(TCP, UDP) as (source, broker):
        broker.away = True
        await send(source.ports[0], b"<13>x\n" * 1000)
        datagrams(source.ports[1], *[b"<14>y"] * 1500)
        await until(lambda: source.flow.received >= 512 + 1500)
        await source.stop()
        assert source.flow.rejected == {"stopping": 2500}
        assert broker.events == []
        assert "messages=2500" in caplog.text


async def test_an_idle_client_that_has_begun_a_message_loses_none_of_it() -> None:
    async with running(TCP, idle_timeout_s=DEADLINE_S) as (source, broker):
        reader, writer = await asyncio.open_connection("127.0.0.1", source.ports[0])
        await until(lambda: any(each._readable for each, _ in source._tcp[0]._serving.values()), "the handler to wait")
        ((connection, _),) = source._tcp[0]._serving.values()
        connection._idle_timeout_s = 0.1  # from the next wait on, which begins when this has come
        writer.write(b"<13>begun")
        assert await reader.read() == b""
        writer.close()
        await until(lambda: len(broker.events) == 1)
        assert broker.events[0].headers[STATUS] == "Incomplete"
        assert source.flow.notes["troubles"] == {"idle": 1}


async def test_a_flood_of_tiny_messages_is_taken_in_small_batches() -> None:
    async with running(TCP) as (source, broker):
        await send(source.ports[0], b"x\n" * 50_000)
        await until(lambda: len(broker.events) == 50_000)
        assert broker.largest_batch <= 512


async def test_an_address_that_is_taken_stops_the_start_and_leaves_nothing_open() -> None:
    async with running(TCP) as (source, broker):
        taken = ListenAddress("tcp", "127.0.0.1", source.ports[0])
        config = SyslogSource(SourceCommon("other", {}, False, None), (UDP, TCP, taken))
        other = Syslog(config, broker, Flow("other", "source"))
        with pytest.raises(CannotListen, match="in use"):
            await other.start()
        assert other.ports == []


# TLS.

CERTIFICATES = Path(__file__).parents[3] / "data" / "tls"
FILES = {"cert": CERTIFICATES / "server.pem", "key": CERTIFICATES / "server-key.pem"}
TLS = ListenAddress("tls", "127.0.0.1", 0)


def client_context(with_certificate: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=CERTIFICATES / "server.pem")
    if with_certificate:
        context.load_cert_chain(CERTIFICATES / "client.pem", CERTIFICATES / "client-key.pem")
    return context


async def test_messages_over_tls() -> None:
    async with running(TLS, **FILES) as (source, broker):
        lines = b"".join(b"%d %s" % (len(line), line) for line in [b"<13>line %05d" % n for n in range(20_000)])
        await send(source.ports[0], lines, ssl=client_context())
        await until(lambda: len(broker.events) == 20_000)
        await send(source.ports[0], b"<13>no TLS at all\n")
        await until(lambda: source.flow.notes.get("troubles") == {"tls_handshake": 1})
        assert len(broker.events) == 20_000


@pytest.mark.parametrize("farewell", [True, False])
async def test_a_tls_client_that_reads_nothing_and_just_closes_loses_nothing(farewell: bool) -> None:
    def client(port: int) -> None:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            client_context().wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            wrapped.sendall(b"".join(b"<13>line %05d\n" % number for number in range(40_000)) + b"<13>last")
            if farewell:
                wrapped.unwrap()

    async with running(TLS, **FILES) as (source, broker):
        await asyncio.to_thread(client, source.ports[0])
        await until(lambda: len(broker.events) == 40_001)
        assert broker.bodies == [b"<13>line %05d" % number for number in range(40_000)] + [b"<13>last"]
        # Without the farewell nobody knows whether the last line is all there.
        assert broker.events[-1].headers.get(STATUS) == (None if farewell else "Incomplete")


async def test_noise_after_the_handshake_ends_that_connection_only() -> None:
    def client(port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as plain:
            wrapped = client_context().wrap_socket(plain, server_hostname="127.0.0.1")
            wrapped.sendall(b"<13>good\n")
            with socket.socket(fileno=wrapped.detach()) as bare:
                bare.sendall(b"no TLS record" * 10)
                bare.recv(1000)

    async with running(TLS, **FILES) as (source, broker):
        await asyncio.to_thread(client, source.ports[0])
        await until(lambda: broker.bodies == [b"<13>good"])
        await until(lambda: source.flow.notes.get("troubles") == {"cut_short": 1})
        await send(source.ports[0], b"<13>next\n", ssl=client_context())
        await until(lambda: len(broker.events) == 2)


async def test_a_client_can_be_asked_for_its_certificate() -> None:
    async with running(TLS, **FILES, client_ca=CERTIFICATES / "client.pem") as (source, broker):
        await send(source.ports[0], b"<13>known\n", ssl=client_context(with_certificate=True))
        await until(lambda: broker.bodies == [b"<13>known"])
        with contextlib.suppress(OSError):  # TLS 1.3 tells the client only when it reads or writes again
            await send(source.ports[0], b"<13>unknown\n", ssl=client_context())
        await until(lambda: source.flow.notes.get("troubles") == {"tls_handshake": 1})
        assert broker.bodies == [b"<13>known"]


@pytest.mark.parametrize(
    ("cert", "key", "client_ca", "wrong"),
    [
        ("none.pem", "server-key.pem", None, "cert .*none.pem: No such file or directory"),
        ("server.pem", "none.pem", None, "key .*none.pem: No such file or directory"),
        ("server.pem", "client-key.pem", None, "cert .*server.pem and key .*client-key.pem: key values mismatch"),
        ("README.md", "server-key.pem", None, "cert .*README.md and key .*: not PEM"),
        ("server.pem", "locked-key.pem", None, "cert .*server.pem and key .*locked-key.pem: .*passphrase"),
        ("server.pem", "server-key.pem", "README.md", "client_ca .*README.md: no certificate or crl found"),
    ],
)
async def test_files_that_are_no_certificates_stop_the_start(
    cert: str, key: str, client_ca: str | None, wrong: str
) -> None:
    config = SyslogSource(
        SourceCommon("syslog", {}, False, None),
        (TLS,),
        CERTIFICATES / cert,
        CERTIFICATES / key,
        CERTIFICATES / client_ca if client_ca else None,
    )
    with pytest.raises(CannotListen, match=wrong) as caught:
        await Syslog(config, Broker(), Flow("syslog", "source")).start()
    assert "\n" not in str(caught.value)
