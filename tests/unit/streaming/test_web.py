"""The worker's web server: where it listens, what it leaves to the views, what it logs."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest
from aiohttp import ClientSession, web
from faust.web import View

from deploy.cluster.process import LOCALHOST, free_port
from streaming.errors import PortTaken
from streaming.web import DESCRIPTORS
from streaming.web_app import WebApp


@pytest.fixture
async def app() -> AsyncIterator[WebApp]:
    app = WebApp("test", broker=["127.0.0.1:1"])
    app.conf.web_port = free_port()

    @app.page("/echo")
    class Echo(View):
        async def post(self, request: web.Request) -> web.Response:
            return web.Response(body=await request.content.read())

    @app.page("/fails")
    class Fails(View):
        async def get(self, request: web.Request) -> web.Response:
            raise ValueError("a bug")

    yield app
    await app.web.stop()


async def test_it_listens_where_web_host_says(app: WebApp) -> None:
    assert app.web.bind_address == LOCALHOST
    await app.web.start()
    assert set(app.web._runner.addresses) == {(LOCALHOST, app.conf.web_port)}


async def test_a_name_with_several_addresses(app: WebApp) -> None:
    app.conf.web_host = "localhost"
    await app.web.start()
    assert (LOCALHOST, app.conf.web_port) in app.web._runner.addresses


async def test_several_connections_are_accepted_in_one_turn_of_the_loop(app: WebApp) -> None:
    """As many descriptors of one socket are listened on, all of them gone when the server has stopped."""
    await app.web.start()
    assert len(app.web._runner.addresses) == DESCRIPTORS
    await app.web.stop()
    with socket.create_server((LOCALHOST, app.conf.web_port)):
        pass


@pytest.mark.parametrize("host", ["203.0.113.1", "no-such-host.invalid"])
async def test_an_address_that_is_not_here_is_said_in_one_line(host: str) -> None:
    app = WebApp("test", broker=["127.0.0.1:1"])
    app.conf.web_host = host
    with pytest.raises(PortTaken, match=f"cannot listen on {host}:6066"):
        await app.web.start_server()


async def test_a_port_that_is_taken_is_said_in_one_line() -> None:
    app = WebApp("test", broker=["127.0.0.1:1"])
    app.conf.web_port = free_port()
    with (
        socket.create_server((LOCALHOST, app.conf.web_port)),
        pytest.raises(PortTaken, match=r"--web-port.*: Address already in use"),
    ):
        await app.web.start_server()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, LOCALHOST),
        ({"web_host": "logs.example.org"}, "logs.example.org"),
        ({"web_bind": "::1"}, "::1"),
        ({"web_host": "logs.example.org", "web_bind": "::1"}, "::1"),
    ],
)
def test_web_bind_wins_over_web_host(given: dict[str, str], expected: str) -> None:
    app = WebApp("test", broker=["127.0.0.1:1"])
    for name, value in given.items():  # as the options of `faust worker` do
        setattr(app.conf, name, value)
    assert app.web.bind_address == expected


async def test_bodies_are_not_inflated(app: WebApp) -> None:
    await app.web.start()
    body = gzip.compress(b"content")
    url = f"http://{LOCALHOST}:{app.conf.web_port}/echo"
    async with ClientSession() as session:
        for sent in (body, b"not gzip at all"):
            async with session.post(url, data=sent, headers={"Content-Encoding": "gzip"}) as answer:
                assert answer.status == 200
                assert await answer.read() == sent


async def test_a_thousand_may_connect_before_the_first_is_accepted(app: WebApp) -> None:
    await app.web.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.socket()) for _ in range(1_000)]
        for client in clients:
            client.settimeout(5)
            client.connect((LOCALHOST, app.conf.web_port))  # the event loop, which would accept, waits for this


@pytest.mark.parametrize(
    "request_bytes", [b"\x16\x03\x01\x02\0\x01\0", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"]
)
async def test_what_is_not_http_is_answered_400_and_counted(
    app: WebApp, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    await app.web.start()
    reader, writer = await asyncio.open_connection(LOCALHOST, app.conf.web_port)
    writer.write(request_bytes)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
    assert b"Traceback" not in answer
    (said,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (
        said.getMessage() == "Clients of the web were refused or cut off: reason=malformed new=1 newest_from=127.0.0.1"
    )


async def test_a_bug_in_a_view_is_logged_and_not_shown(app: WebApp, caplog: pytest.LogCaptureFixture) -> None:
    await app.web.start()
    async with ClientSession() as session, session.get(f"http://{LOCALHOST}:{app.conf.web_port}/fails") as answer:
        assert answer.status == 500
        assert "a bug" not in await answer.text()
    assert any(record.exc_info and "a bug" in str(record.exc_info[1]) for record in caplog.records)


async def test_a_request_in_progress_is_answered_when_the_server_stops(app: WebApp) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    @app.page("/slow")
    class Slow(View):
        async def get(self, request: web.Request) -> web.Response:
            arrived.set()
            await go_on.wait()
            return web.Response(text="done")

    await app.web.start()
    async with ClientSession() as session:
        asking = asyncio.create_task(session.get(f"http://{LOCALHOST}:{app.conf.web_port}/slow"))
        await asyncio.wait_for(arrived.wait(), 10)
        stopping = asyncio.create_task(app.web.stop())
        await asyncio.sleep(0)
        go_on.set()
        answer = await asyncio.wait_for(asking, 10)
        assert await answer.text() == "done"
        await asyncio.wait_for(stopping, 10)
    with socket.socket() as probe:
        assert probe.connect_ex((LOCALHOST, app.conf.web_port)) != 0
