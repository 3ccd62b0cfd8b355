"""Clients that take too much of the web server: each is cut off, counted, and no other is harmed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import ClientSession, web
from faust.web import View

from deploy.cluster.process import LOCALHOST, free_port
from streaming.web import TCP_USER_TIMEOUT_MS, Web
from streaming.web_app import WebApp
from streaming.web_limits import WebLimits
from tests.support.polling import wait_until_async

PATIENCE_S = 60.0
HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"
PAGE_BYTES = 8 << 20

Start = Callable[..., Awaitable[Web]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a web server with the limits given."""
    webs: list[Web] = []

    async def start(max_connections: int | None = None, **limits: Any) -> Web:
        app = WebApp("test", broker=["127.0.0.1:1"])
        app.conf.web_port = free_port()

        @app.page("/echo")
        class Echo(View):
            async def get(self, request: web.Request) -> web.Response:
                return web.Response(text="here")

            async def post(self, request: web.Request) -> web.Response:
                return web.Response(body=await request.content.read())

        @app.page("/large")
        class Large(View):
            async def get(self, request: web.Request) -> web.Response:
                return web.Response(body=b"x" * PAGE_BYTES)

        server: Web = app.web
        server.guard.limits = WebLimits(**limits)
        webs.append(server)
        await server.start()
        if max_connections is not None:
            server.guard.max_connections = max_connections
        return server

    yield start
    for server in webs:
        await server.stop()


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> bytes:
        """The head of the next answer, and its body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        return head + await asyncio.wait_for(self.reader.readexactly(length), PATIENCE_S)

    async def ended(self) -> bool:
        """Wait for the server to close; whether it did without a further byte."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE_S) == b""
        return True

    @property
    def open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """Connects to a server, and sends something."""
    clients: list[Client] = []

    async def connect(server: Web, data: bytes = b"") -> Client:
        known, refused = server.guard.connections, server.troubles.counts.total()
        clients.append(Client(*await asyncio.open_connection(LOCALHOST, server.app.conf.web_port)))
        clients[-1].writer.write(data)
        if known < server.guard.max_connections:
            await until(
                lambda: server.guard.connections > known or server.troubles.counts.total() > refused,
                "the connection to be accepted",
            )
        return clients[-1]

    yield connect
    for client in clients:
        client.writer.transport.abort()


Connect = Callable[..., Awaitable[Client]]
GET = b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"


async def until(condition: Callable[[], Any], what: str) -> None:
    async def asked() -> Any:
        return condition()

    await wait_until_async(asked, PATIENCE_S, what)


async def served(server: Web) -> bool:
    """Whether a well-behaved client is."""
    url = f"http://{LOCALHOST}:{server.app.conf.web_port}/echo"
    async with ClientSession() as session, session.post(url, data=b"x" * 100_000) as answer:
        return answer.status == 200 and len(await answer.read()) == 100_000


async def test_a_head_that_takes_too_long_is_answered_408(start: Start, connect: Connect) -> None:
    server = await start(head_timeout_s=0.3)
    drips = await connect(server, HEAD)
    whole = await connect(server, GET)
    nothing = await connect(server)
    assert (await drips.answer()).startswith(b"HTTP/1.1 408")
    assert await drips.ended()
    assert (await whole.answer()).endswith(b"here")
    assert whole.open
    assert nothing.open
    assert server.troubles.counts == {"slow_head": 1}


async def test_the_head_of_a_further_request_has_its_own_time(start: Start, connect: Connect) -> None:
    server = await start(head_timeout_s=0.3)
    client = await connect(server, GET)
    await client.answer()
    client.writer.write(GET[:10])
    assert (await client.answer()).startswith(b"HTTP/1.1 408")
    assert server.troubles.counts == {"slow_head": 1}


async def test_a_body_in_pieces_is_no_slow_head(start: Start, connect: Connect) -> None:
    server = await start(head_timeout_s=0.3)
    client = await connect(server, HEAD + b"Content-Length: 15\r\n\r\n")
    for _ in range(15):
        await asyncio.sleep(0.1)  # longer in all than a head may take
        client.writer.write(b"x")
    assert (await client.answer()).endswith(b"x" * 15)
    client.writer.write(GET)
    assert (await client.answer()).endswith(b"here")
    assert not server.troubles.counts


async def test_a_head_that_does_not_end_is_answered_431(start: Start, connect: Connect) -> None:
    server = await start(head_bytes=20_000)
    client = await connect(server, HEAD)
    with suppress(ConnectionError):
        for _ in range(2_000):
            client.writer.write(b"X: " + b"a" * 1_000 + b"\r\n")
            await client.writer.drain()
    await until(lambda: server.troubles.counts, "it to be cut off")
    assert server.troubles.counts.keys() <= {"large_head", "malformed"}
    await until(lambda: server.guard.connections == 0, "the connection to be gone")
    assert server.guard.held_bytes == 0
    assert await served(server)


async def test_large_heads_share_a_bound(start: Start, connect: Connect) -> None:
    server = await start(held_bytes=100_000)
    small = await connect(server, HEAD)
    for _ in range(20):
        await connect(server, HEAD + b"X: " + b"a" * 8_000 + b"\r\n")
    await until(lambda: server.troubles.counts["large_heads"] >= 8, "those beyond the bound to be cut off")
    assert server.guard.held_bytes <= 100_000
    assert small.open
    assert await served(server)


async def test_requests_that_pile_up_share_the_bound(start: Start, connect: Connect) -> None:
    server = await start(held_bytes=100_000)
    client = await connect(server, HEAD + b"Content-Length: 1\r\n\r\n")
    piled = (b"GET /echo HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 8_000 + b"\r\n\r\n") * 100
    client.writer.write(b"x" + (b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n") + piled)
    await until(lambda: server.troubles.counts["pipelined"], "it to be cut off")
    await until(lambda: server.guard.connections == 0, "the connection to be gone")
    assert server.guard.held_bytes == 0


async def test_pipelined_requests_are_answered_in_order(start: Start, connect: Connect) -> None:
    server = await start()
    client = await connect(server, b"")
    for number in range(200):
        body = b"%d" % number
        client.writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    for number in range(200):
        assert (await client.answer()).endswith(b"\r\n\r\n%d" % number)
    assert not server.troubles.counts
    await until(lambda: server.guard.held_bytes == 0, "nothing to be held")


async def test_a_client_that_never_reads_is_cut_off(start: Start, connect: Connect) -> None:
    server = await start(write_timeout_s=0.5)
    client = await connect(server)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
    await until(lambda: server.troubles.counts == {"slow_reader": 1}, "it to be cut off")
    await until(lambda: server.guard.connections == 0, "the connection to be gone")


async def test_one_that_never_reads_the_end_before_closing_is_cut_off(start: Start, connect: Connect) -> None:
    server = await start(write_timeout_s=0.5)
    client = await connect(server)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    client.writer.write(b"GET /large HTTP/1.0\r\n\r\n")
    await until(lambda: server.troubles.counts == {"slow_reader": 1}, "it to be cut off")
    await until(lambda: server.guard.connections == 0, "the connection to be gone")


async def test_a_client_that_reads_slowly_but_steadily_gets_its_answer(start: Start, connect: Connect) -> None:
    server = await start(write_timeout_s=2.5, write_bytes=1_000)
    now = began = 1_000.0
    server.guard.clock = lambda: now  # a second passes whenever the client has taken a little more
    client = await connect(server)
    (transport,) = server.guard._fresh.values()
    for each, option in ((transport, socket.SO_SNDBUF), (client.writer.transport, socket.SO_RCVBUF)):
        each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, 65_536)  # else the kernel takes it all
    client.writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    left = PAGE_BYTES
    while left:
        unsent = transport.get_write_buffer_size()
        while True:
            taken = await asyncio.wait_for(client.reader.read(min(left, PAGE_BYTES // 20)), PATIENCE_S)
            assert taken, server.troubles.counts
            left -= len(taken)
            await asyncio.sleep(0)
            if not left or transport.get_write_buffer_size() <= max(0, unsent - 1_000):
                break
        now += 1.0
        server.guard.sweep()
    assert now - began > 4 * 2.5
    assert not server.troubles.counts


async def test_answers_that_nobody_takes_share_a_bound(start: Start, connect: Connect) -> None:
    server = await start(unsent_bytes=2 * PAGE_BYTES)
    for _ in range(6):
        client = await connect(server)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: server.troubles.counts["unread_answers"] >= 1, "some to be cut off")
    assert await served(server)


async def test_connections_that_never_asked_make_room_first_the_oldest(start: Start, connect: Connect) -> None:
    server = await start(max_connections=3)
    asked = await connect(server, GET)
    await asked.answer()
    silent = [await connect(server), await connect(server)]
    newest = await connect(server, GET)
    assert (await newest.answer()).endswith(b"here")
    assert await silent[0].ended()
    assert asked.open
    assert silent[1].open
    assert server.troubles.counts == {"evicted_silent": 1}


async def test_then_those_that_have_been_idle_longest(start: Start, connect: Connect) -> None:
    server = await start(max_connections=3)
    clients = [await connect(server, GET) for _ in range(3)]
    for client in clients:
        await client.answer()
    clients[0].writer.write(GET)
    await clients[0].answer()
    newest = await connect(server, GET)
    assert (await newest.answer()).endswith(b"here")
    assert await clients[1].ended()
    assert clients[0].open
    assert clients[2].open
    assert server.troubles.counts == {"evicted_idle": 1}


async def test_then_a_body_that_takes_long_and_else_the_new_one_is_refused(start: Start, connect: Connect) -> None:
    server = await start(max_connections=2)
    slow = [await connect(server, HEAD + b"Content-Length: 10\r\n\r\nx") for _ in range(2)]
    await until(lambda: all(handler.body_incomplete for handler in server.guard._served), "both to be in progress")
    refused = await connect(server)
    assert (await refused.answer()).startswith(b"HTTP/1.1 503")
    assert await refused.ended()
    assert server.troubles.counts == {"too_many_connections": 1}
    server.guard.limits = WebLimits(slow_body_s=0.0)
    newest = await connect(server, GET)
    assert (await newest.answer()).endswith(b"here")
    assert await slow[0].ended()
    assert slow[1].open
    assert server.troubles.counts == {"too_many_connections": 1, "evicted_slow_body": 1}


async def test_connections_are_given_back_when_descriptors_run_out(
    start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await start()
    clients = [await connect(server) for _ in range(80)]
    with monkeypatch.context() as patched:
        patched.setattr("streaming.web.descriptor_free", lambda: len(clients) - server.guard.connections >= 64)
        await until(lambda: server.guard.connections == 16, "64 of them to be closed")
    assert server.troubles.counts == {"no_descriptors": 1, "evicted_silent": 64}
    assert clients[-1].open
    assert await served(server)


async def test_vanished_clients_are_noticed_by_the_system(start: Start, connect: Connect) -> None:
    server = await start()
    await connect(server)
    (transport,) = server.guard._fresh.values()
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == TCP_USER_TIMEOUT_MS


async def test_it_notes_how_many_connections_there_are_and_were_refused(start: Start, connect: Connect) -> None:
    server = await start(head_timeout_s=0.3)
    await connect(server)
    await connect(server, HEAD)
    assert server.notes is server.app.web_notes
    await until(lambda: server.notes.get("connections_refused") == {"slow_head": 1}, "the trouble to be noted")
    assert server.notes["connections"] == 1
