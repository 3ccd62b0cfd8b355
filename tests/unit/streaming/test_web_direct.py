"""Plain requests are answered without aiohttp, in the same words; everything else is aiohttp's."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import HttpRequestParser
from faust.web import View
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.cluster.process import LOCALHOST, free_port
from streaming.web_app import WebApp
from streaming.web_direct import AHEAD_BYTES, BODY_BYTES, HEAD_BYTES, REMEMBERED, Direct, DirectHandler
from tests.support.polling import PATIENCE_S, wait_until_async

HEAD = b"POST /here HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"


def post(body: bytes = b"") -> bytes:
    return HEAD % len(body) + body


class Given:
    """A server whose address /here tells which way a request came, once the test lets it."""

    def __init__(self) -> None:
        self.app = WebApp("test", broker=["127.0.0.1:1"])
        self.app.conf.web_port = self.port = free_port()
        self.bodies: list[bytes] = []
        self.types: list[str | None] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        given = self

        async def directly(content_type: str | None, body: bytes) -> web.Response | None:
            given.bodies.append(body)
            given.types.append(content_type)
            await given.go_on.wait()
            return web.Response(status=503, text="no\n", headers={"Retry-After": "5"}) if body == b"refuse" else None

        @self.app.page("/here")
        class Here(View):
            async def post(self, request: web.Request) -> web.Response:
                body = await request.content.read()
                if body == b"refuse":
                    return web.Response(status=503, text="no\n", headers={"Retry-After": "5"})
                return web.Response(text="aiohttp") if body else web.Response()

        self.app.direct.serve("/here", directly)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(LOCALHOST, self.port)
        # The request is to come in one piece, and not together with the connection.
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await self.until(lambda: len(self.handlers) > 0)
        return reader, writer

    async def connect_busy_with(self, body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection with a request under way, until `go_on` is set."""
        self.go_on.clear()
        reader, writer = await self.connect()
        writer.write(post(body))
        await self.until(lambda: self.bodies == [body])
        return reader, writer

    @property
    def handlers(self) -> list[DirectHandler]:
        server: Any = self.app.web._runner.server
        return list(server.connections)

    async def until(self, condition: Any) -> None:
        async def asked() -> bool:
            return bool(condition())

        await wait_until_async(asked, PATIENCE_S, "the server")


@pytest.fixture
async def served() -> AsyncIterator[Given]:
    made = Given()
    await made.app.web.start()
    yield made
    made.go_on.set()
    await made.app.web.stop()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """The next answer's status, headers and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    status, *lines = head.decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers.get("Content-Length", 0)))
    return int(status.split()[1]), headers, body


async def test_plain_requests_are_answered_one_after_the_other_on_one_connection(served: Given) -> None:
    reader, writer = await served.connect()
    for number in range(3):
        writer.write(post(b"%d" % number))
        assert (await answer(reader))[0] == 200
    assert served.bodies == [b"0", b"1", b"2"]
    assert served.types == ["text/plain"] * 3
    writer.close()


@pytest.mark.parametrize("body", [b"", b"refuse"])
async def test_the_answer_is_the_one_that_aiohttp_gives(served: Given, body: bytes) -> None:
    answers = []
    for head in (HEAD, HEAD.replace(b"Host:", b"X-Unknown: y\r\nHost:")):
        reader, writer = await served.connect()
        writer.write(head % len(body) + body)
        status, headers, told = await answer(reader)
        headers.pop("Date")
        answers.append((status, sorted(headers.items()), told))
        writer.close()
    assert served.bodies == [body], "the second one came through aiohttp"
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"a") + post(b"b"),
        HEAD.replace(b"Host:", b"X-Unknown: y\r\nHost:") % 1 + b"a",
        HEAD.replace(b"/here", b"/here?a=b") % 1 + b"a",
        HEAD.replace(b"Host:", b"Connection: close\r\nHost:") % 1 + b"a",
        HEAD.replace(b"Host:", b"Expect: 100-continue\r\nHost:") % 1 + b"a",
        HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") % 1 + b"a",
        HEAD.replace(b"text/plain", b"text/\xc3\xa4") % 1 + b"a",
        b"POST /here HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        post(b"x" * (BODY_BYTES + 1)),
        HEAD.replace(b"Host: x", b"Host: " + b"x" * HEAD_BYTES) % 1 + b"a",
    ],
)
async def test_what_is_not_plain_is_left_to_aiohttp_and_all_after_it(served: Given, request_bytes: bytes) -> None:
    reader, writer = await served.connect()
    writer.write(request_bytes)
    status = b""
    while not status.startswith(b"HTTP/1.") or b" 100 " in status:
        status = await asyncio.wait_for(reader.readline(), PATIENCE_S)
    assert b" 200 " in status
    with suppress(OSError):  # it may be closed by now, as some of them ask for
        writer.write(post(b"plain"))
        writer.write_eof()
        assert b" 500 " not in await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert served.bodies == []
    writer.close()


async def test_a_body_in_two_pieces(served: Given) -> None:
    reader, writer = await served.connect()
    whole = post(b"in two")
    writer.write(whole[:-3])
    await writer.drain()
    await served.until(lambda: served.handlers[0]._left_to_aiohttp)
    writer.write(whole[-3:])
    assert (await answer(reader))[2] == b"aiohttp"
    writer.close()


async def test_what_is_sent_ahead_is_answered_in_its_turn(served: Given) -> None:
    reader, writer = await served.connect_busy_with(b"first")
    writer.write(post(b"second"))
    writer.write(post(b"refuse"))
    await served.until(lambda: len(served.handlers[0]._ahead) > len(post(b"second")))
    assert not served.handlers[0].idle, "nobody may take it for one that can make room"
    served.go_on.set()
    assert [(await answer(reader))[0] for _ in range(3)] == [200, 200, 503]
    writer.close()


async def test_who_sends_far_ahead_is_not_read_from(served: Given) -> None:
    reader, writer = await served.connect_busy_with(b"first")
    many = 50_000
    writer.write(post(b"x" * 100) * many)
    await served.until(lambda: served.handlers[0]._buffer_paused)
    assert len(served.handlers[0]._ahead) < AHEAD_BYTES + (1 << 20)
    served.go_on.set()
    for _ in range(many + 1):
        assert (await answer(reader))[0] == 200
    writer.close()


async def test_who_takes_no_answers_is_not_read_from(served: Given) -> None:
    reader, writer = await served.connect()
    (handler,) = served.handlers
    handler.pause_writing()
    writer.write(post(b"first"))
    await served.until(lambda: handler._drain_waiter is not None)
    writer.write(post(b"second"))
    await served.until(lambda: handler._ahead)
    assert served.bodies == [b"first"]
    handler.resume_writing()
    assert [(await answer(reader))[0] for _ in range(2)] == [200, 200]
    writer.close()


async def test_a_client_that_goes_away_meanwhile_harms_nobody(served: Given) -> None:
    _, writer = await served.connect_busy_with(b"gone")
    writer.close()
    await served.until(lambda: not served.handlers)
    served.go_on.set()
    reader, writer = await served.connect()
    writer.write(post(b"here"))
    assert (await answer(reader))[0] == 200
    writer.close()


async def test_what_is_being_answered_when_the_server_stops_gets_its_answer(served: Given) -> None:
    reader, writer = await served.connect_busy_with(b"last")
    stopping = asyncio.create_task(served.app.web.stop())
    (handler,) = served.handlers
    await served.until(lambda: handler._closing)
    writer.write(post(b"too late"))
    served.go_on.set()
    assert (await answer(reader))[0] == 200
    await asyncio.wait_for(stopping, PATIENCE_S)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    assert served.bodies == [b"last"]
    writer.close()


async def never(content_type: str | None, body: bytes) -> web.Response | None:
    raise AssertionError


def test_heads_are_remembered_within_bounds() -> None:
    direct = Direct()
    direct.serve("/here", never)
    for number in range(2 * REMEMBERED):
        assert direct.find(HEAD.replace(b"Host: x", b"Host: %d" % number) % 0) is not None
    assert len(direct._forms) <= REMEMBERED


LINES = st.sampled_from(
    [
        *(b"Host: x", b"Host:", b"host:y", b"Content-Length: 1", b"content-length:1 ", b"Content-Length: +1"),
        *(b"Content-Length: 01", b"Content-Length : 1", b"Content-Type: text/plain", b"Content-Type:\ttext/plain"),
        *(
            b"Transfer-Encoding: chunked",
            b" folded",
            b"Connection: close",
            b"Connection: Keep-Alive, x",
            b"Accept: */*",
        ),
        *(
            b"Accept: a\rb",
            b"Accept: a\nContent-Length: 5",
            b"Accept: \0",
            b"User-Agent: \xff",
            b"Expect: 100-continue",
        ),
        *(b"", b"Content-Encoding: gzip", b"Upgrade: h2c", b"Content-Length: 1, 1", b": x", b"A b: c"),
    ]
)
REQUESTS = st.builds(
    lambda start, lines, body: start + b"\r\n" + b"\r\n".join(lines) + b"\r\n\r\n" + body,
    st.sampled_from(
        [b"POST /here HTTP/1.1"] * 5 + [b"POST  /here HTTP/1.1", b"GET /here HTTP/1.1", b"POST /here HTTP/1.0"]
    ),
    st.lists(LINES, max_size=5).map(lambda lines: [b"Host: x", b"Content-Length: 1", *lines]),
    st.sampled_from([b"a", b"", b"ab"]),
)


class Sink(BaseProtocol):
    """What aiohttp's parser wants to have behind it."""


@given(REQUESTS)
@settings(max_examples=2_000)
def test_what_is_taken_for_plain_is_what_aiohttp_reads(request_bytes: bytes) -> None:
    direct = Direct()
    direct.serve("/here", never)
    found = direct.find(request_bytes)
    if found is None:
        return
    form, body = found
    loop = asyncio.new_event_loop()
    try:
        parser = HttpRequestParser(Sink(loop), loop, 65_536)
        ((message, payload),), upgraded, tail = parser.feed_data(request_bytes)
        assert not upgraded
        assert not tail
        assert payload.is_eof()
        assert payload.read_nowait() == body
    finally:
        loop.close()
    assert (message.method, message.path, message.should_close) == ("POST", "/here", False)
    assert message.headers.get("Content-Type") == form.content_type
    assert message.compression is None
    assert not message.chunked
    assert not re.search(r"expect|upgrade", str(message.headers), re.IGNORECASE)
