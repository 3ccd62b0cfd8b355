"""Ingest over real HTTP: every row of the contract's table, and what no client may do to a worker."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
import zstandard
from aiohttp import ClientResponse, ClientSession

from app.views import ingest
from config.settings import Settings
from deploy.cluster.process import LOCALHOST, free_port
from parsers.event import Event
from sources.producer import GroupCommitProducer
from streaming.web_app import WebApp
from telemetry.flow import Flow
from tests.support.ingest import CommandedConnection, SettableClock, turns
from tests.support.polling import wait_until_async

MAX_BODY = 300_000
EVENTS = b'[{"headers": {"host": "web-1", "type": "x"}, "body": "one"}, {"body": "two"}]'


class Given:
    """The ingest view on Faust's own web server, its brokers at the test's command."""

    def __init__(self, max_waiting_bytes: int = 10_000_000) -> None:
        self.flow = Flow("http", "source")
        self.clock = SettableClock()
        self.brokers = CommandedConnection(automatic=True)
        self.app = WebApp("test", broker=["127.0.0.1:1"])
        self.app.conf.web_port = self.port = free_port()
        self.producer = GroupCommitProducer(
            ["127.0.0.1:1"],
            "raw-log",
            max_waiting_bytes=max_waiting_bytes,
            client_id="test",
            flow=Flow("raw-log", "destination"),
            connect_with=self._connect,
            clock=self.clock,
        )
        ingest.register(self.app, self.producer, Settings(max_body_bytes=MAX_BODY), self.flow)

    async def _connect(self, *_: Any) -> Any:
        return self.brokers

    async def start(self) -> None:
        self.session = ClientSession(f"http://{LOCALHOST}:{self.port}", auto_decompress=False)
        await self.app.web.start()
        await self.producer.start()
        await self.until(lambda: self.producer.ready)

    async def stop(self) -> None:
        await self.session.close()
        await self.producer.stop(drain_s=0.01)
        await self.app.web.stop()
        flow = self.flow
        assert flow.received == flow.sent + sum(flow.rejected.values())
        assert self.producer.budget.used_bytes == 0

    async def until(self, condition: Any) -> None:
        async def ask() -> bool:
            return bool(condition())

        await wait_until_async(ask, 10, "what the test waits for")

    async def post(
        self, body: Any, content_type: str | None = "application/json", path: str = "/logCollect2", **headers: str
    ) -> tuple[int, str, ClientResponse]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if content_type is not None:
            named["Content-Type"] = content_type
        skip = () if content_type is not None else ("Content-Type",)
        async with self.session.post(path, data=body, headers=named, skip_auto_headers=skip) as answer:
            return answer.status, await answer.text(), answer

    async def raw(self, request: bytes) -> bytes:
        """What the server answers until it closes the connection."""
        reader, writer = await asyncio.open_connection(LOCALHOST, self.port)
        try:
            writer.write(request)
            answer = b""
            with suppress(ConnectionResetError):  # it does not read on what it refuses, however much still arrives
                while piece := await asyncio.wait_for(reader.read(65_536), 10):
                    answer += piece
            return answer
        finally:
            writer.close()

    @property
    def sent(self) -> list[Event]:
        return [
            Event({name: value.decode() for name, value in record.headers}, record.value)
            for record in self.brokers.records
        ]


@pytest.fixture
async def given() -> AsyncIterator[Given]:
    given = Given()
    await given.start()
    yield given
    await given.stop()


@pytest.mark.parametrize("path", ["/logCollect2", "/ingest"])
async def test_events_are_taken_and_the_answer_is_empty(given: Given, path: str) -> None:
    status, text, _ = await given.post(EVENTS, path=path)
    assert (status, text) == (200, "")
    assert {event.body: event.headers for event in given.sent} == {b"one": {"host": "web-1", "type": "x"}, b"two": {}}
    assert (given.flow.received, given.flow.sent, given.flow.received_bytes) == (2, 2, len(EVENTS))
    assert given.flow.last_event_at_ms is not None


@pytest.mark.parametrize(
    ("body", "content_type", "query", "encoding"),
    [
        (b'[{"headers": {"k": "v"}, "body": "x"}]', None, "", None),
        (b'[{"headers": {"k": "v"}, "body": "x"}]', "application/x-www-form-urlencoded", "", None),
        ('[{"headers": {"k": "v"}, "body": "x"}]'.encode("utf-16"), "application/json; charset=UTF-16", "", None),
        (b'{"headers": {"k": "v"}, "body": "x"}\n', "application/x-ndjson", "", None),
        (b"x\r\n\n", "text/plain", "?k=w&k=%76", None),
        (gzip.compress(b"x\n"), "text/plain", "?k=v", "gzip"),
        (zstandard.compress(b"x\n"), "text/plain; charset=utf-8", "?k=v", "zstd"),
    ],
)
async def test_every_format(
    given: Given, body: bytes, content_type: str | None, query: str, encoding: str | None
) -> None:
    headers = {"Content_Encoding": encoding} if encoding else {}
    status, text, _ = await given.post(body, content_type, "/ingest" + query, **headers)
    assert (status, text) == (200, "")
    assert given.sent == [Event({"k": "v"}, b"x")]


async def test_the_answer_waits_for_the_brokers(given: Given) -> None:
    given.brokers.automatic = False
    asking = asyncio.create_task(given.post(EVENTS))
    await given.until(lambda: len(given.brokers.submitted) >= 1)
    await turns(50)
    assert not asking.done()
    for number in range(2):
        await given.until(lambda number=number: len(given.brokers.submitted) > number)
        given.brokers.acknowledge(number)
    assert (await asyncio.wait_for(asking, 10))[0] == 200


@pytest.mark.parametrize("empty", [(b"[]", "application/json"), (b"", "text/plain"), (b"\n\n", "application/x-ndjson")])
async def test_no_event_at_all_is_fine(given: Given, empty: tuple[bytes, str]) -> None:
    assert (await given.post(*empty))[0] == 200
    assert given.sent == []


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "reason"),
    [
        (b"", "application/json", {}, 400, "empty"),
        (b"[null]", "application/json", {}, 400, "not_an_object"),
        (b'[{"body": "x"}, {"headers": {"k": null}}]', "application/json", {}, 400, "bad_header"),
        (b'[{"body": "\\ud800"}]', "application/json", {}, 400, "bad_body"),
        (b'{"body": 1}\n{', "application/x-ndjson", {}, 400, "bad_json"),
        (b"[" * 50_000, "application/json", {}, 400, "bad_json"),
        (b"a", "application/json; charset=utf-16", {}, 400, "bad_charset"),
        (b"x", "text/plain", {"Content_Encoding": "gzip"}, 400, "bad_encoding"),
        (gzip.compress(EVENTS)[:-9], "application/json", {"Content_Encoding": "gzip"}, 400, "bad_encoding"),
        (zstandard.compress(EVENTS)[:-1], "application/json", {"Content_Encoding": "zstd"}, 400, "bad_encoding"),
        (EVENTS, "text/html", {}, 415, "content_type"),
        (EVENTS, "application/json; charset=latin-1", {}, 415, "charset"),
        (EVENTS, "application/json", {"Content_Encoding": "br"}, 415, "content_encoding"),
        (EVENTS, "application/json", {"Content_Encoding": "gzip, zstd"}, 415, "content_encoding"),
        (b"x" * (MAX_BODY + 1), "text/plain", {}, 413, "body_too_large"),
        (gzip.compress(b"x" * (MAX_BODY + 1)), "text/plain", {"Content_Encoding": "gzip"}, 413, "body_too_large"),
        (zstandard.compress(b"x" * 50_000_000), "text/plain", {"Content_Encoding": "zstd"}, 413, "body_too_large"),
        (b"small\n" + b"x" * 20_000, "text/plain", {}, 413, "event_too_large"),
        (b"x\n" * 60_000, "text/plain", {}, 413, "too_many_events"),
    ],
)
async def test_a_refused_request_leaves_nothing_and_says_why_in_one_line(
    given: Given, body: bytes, content_type: str, headers: dict[str, str], status: int, reason: str
) -> None:
    answered, text, answer = await given.post(body, content_type, **headers)
    assert answered == status
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert len(text.splitlines()) == 1
    assert 5 < len(text) < 300
    await turns()
    assert given.sent == []
    assert list(given.flow.rejected) == [reason]
    assert given.flow.last_error == text.strip()


async def test_several_content_encoding_headers_are_several_encodings(given: Given) -> None:
    body = gzip.compress(gzip.compress(EVENTS))
    request = (
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n"
    )
    answer = await given.raw(request + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 415")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_other_methods_are_405(given: Given, method: str) -> None:
    for path in ("/logCollect2", "/ingest"):
        async with given.session.request(method, path) as answer:
            assert answer.status == 405
            assert answer.headers["Allow"] == "POST"


async def test_chunked_bodies(given: Given) -> None:
    async def chunks(of: Sequence[bytes]) -> AsyncIterator[bytes]:
        for chunk in of:
            yield chunk
            await asyncio.sleep(0.001)

    status, _, _ = await given.post(chunks([EVENTS[:10], EVENTS[10:11], EVENTS[11:]]))
    assert status == 200
    assert len(given.sent) == 2
    status, text, _ = await given.post(chunks([b"x" * 100_000] * 5), "text/plain")
    assert (status, text.split()[:2]) == (413, ["the", "body"])


async def test_a_body_that_is_too_long_is_refused_before_it_arrives(given: Given) -> None:
    head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 300001\r\n\r\n"
    reader, writer = await asyncio.open_connection(LOCALHOST, given.port)
    writer.write(head)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_expect_100_continue(given: Given) -> None:
    reader, writer = await asyncio.open_connection(LOCALHOST, given.port)
    head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    writer.write(head % len(EVENTS))
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(EVENTS)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_pipelined_requests_are_answered_in_order(given: Given) -> None:
    head = (
        b"%s /ingest HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nConnection: %s\r\nContent-Length: 1\r\n\r\n%s"
    )
    answer = await given.raw(
        head % (b"POST", b"keep-alive", b"a") + head % (b"PUT", b"keep-alive", b"b") + head % (b"POST", b"close", b"c")
    )
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"405", b"200"]
    assert [event.body for event in given.sent] == [b"a", b"c"]


async def test_http_1_0(given: Given) -> None:
    answer = await given.raw(b"POST /ingest HTTP/1.0\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nd")
    assert answer.split(b"\r\n")[0] == b"HTTP/1.0 200 OK"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx\r\n0\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh\r\n0\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nxxx",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nxxxx",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        b"POST /ingest HTTP/9.9\r\nHost: x\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"POST /ingest?" + b"a=b&" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"P\0ST /ingest HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /ingest HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\xff\r\n\r\n",
        b"POST /ingest?a=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\n",
        b"POST http://[::1/ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx",
        b"\xff\xfe\0\1\r\n\r\n",
    ],
)
async def test_whatever_is_not_http_is_no_5xx_and_no_traceback(
    given: Given, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await given.raw(request_bytes)
    assert answer.split(b" ")[1] in (b"400", b"413", b"414", b"415", b"431"), answer[:300]
    assert b"Traceback" not in answer
    assert not [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and "reason=malformed" not in record.getMessage()
    ]
    assert (await given.post(EVENTS))[0] == 200


async def test_a_body_that_has_been_arriving_for_long_makes_room(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.budget.SLOW_AFTER_S", 0.0)
    budget = given.producer.budget
    reader, writer = await asyncio.open_connection(LOCALHOST, given.port)
    writer.write(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    await given.until(lambda: budget.used_bytes >= 100_000)
    monkeypatch.setattr(budget, "limit_bytes", budget.used_bytes + 10)
    assert (await given.post(EVENTS))[0] == 200
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert head.startswith(b"HTTP/1.1 503")
    assert b"Retry-After" in head
    assert budget.used_bytes == 0
    assert given.flow.rejected == {"overloaded": 1}
    writer.transport.abort()


async def test_a_client_that_goes_away_in_the_middle_of_its_body(
    given: Given, caplog: pytest.LogCaptureFixture
) -> None:
    _, writer = await asyncio.open_connection(LOCALHOST, given.port)
    writer.write(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100_000)
    await given.until(lambda: given.producer.budget.used_bytes > 0)
    writer.transport.abort()
    await given.until(lambda: given.flow.rejected)
    assert given.flow.rejected == {"disconnected": 1}
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_body_that_stops_arriving_is_given_up(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "_SILENCE_S", 0.05)
    reader, writer = await asyncio.open_connection(LOCALHOST, given.port)
    writer.write(b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + b"x" * 1_000)
    assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 400")
    assert given.flow.rejected == {"slow_body": 1}
    writer.close()


async def test_while_the_brokers_are_away_it_is_503_at_once(given: Given) -> None:
    given.brokers.automatic = False
    first = asyncio.create_task(given.post(b'[{"headers": {"host": "a"}}]'))
    await given.until(lambda: given.brokers.submitted)
    given.clock.now_s += 10.1
    status, text, answer = await asyncio.wait_for(first, 10)
    assert (status, answer.headers["Retry-After"]) == (503, "2")
    assert "Kafka has not acknowledged" in text
    status, text, answer = await asyncio.wait_for(given.post(b'[{"headers": {"host": "a"}}]'), 10)
    assert (status, answer.headers["Retry-After"]) == (503, "2")
    given.brokers.acknowledge()
    given.brokers.automatic = True
    await turns()
    assert (await given.post(b'[{"headers": {"host": "a"}}]'))[0] == 200
    assert given.flow.rejected == {"broker_unavailable": 2}


async def test_while_it_stops_it_is_503_and_what_was_taken_is_answered(given: Given) -> None:
    given.brokers.automatic = False
    taken = asyncio.create_task(given.post(b'[{"headers": {"host": "a"}}]'))
    await given.until(lambda: given.brokers.submitted)
    stopping = asyncio.create_task(given.producer.stop(drain_s=10))
    await turns()
    status, text, answer = await given.post(EVENTS)
    assert (status, text) == (503, "this worker is stopping\n")
    assert int(answer.headers["Retry-After"]) >= 1
    given.brokers.acknowledge()
    assert (await asyncio.wait_for(taken, 10))[0] == 200
    await asyncio.wait_for(stopping, 10)


async def test_bodies_being_read_are_bounded_too() -> None:
    given = Given(max_waiting_bytes=500_000)
    await given.start()
    head = b"POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 200000\r\n\r\n"
    writers = []
    try:
        for number in range(4):
            reader, writer = await asyncio.open_connection(LOCALHOST, given.port)
            writers.append(writer)
            writer.write(head + b"x" * 190_000)
            if number < 2:
                await given.until(lambda number=number: given.producer.budget.used_bytes == 190_000 * (number + 1))
            else:
                assert (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/1.1 503")
                assert b"Retry-After: 1\r\n" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert given.producer.budget.used_bytes == 380_000
    finally:
        for writer in writers:
            writer.close()
        await given.until(lambda: given.producer.budget.used_bytes == 0)
        await given.stop()


async def test_an_error_of_our_own_is_503_without_a_traceback_for_the_client(
    given: Given, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(events: Sequence[Event]) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(given.producer, "send", fails)
    status, text, answer = await given.post(EVENTS)
    assert (status, answer.headers["Retry-After"]) == (503, "1")
    assert "secret" not in text
    assert any(record.exc_info for record in caplog.records)
    assert given.flow.rejected == {"internal": 2}


async def test_many_connections_at_once(given: Given) -> None:
    async def one(number: int) -> int:
        body = json.dumps([{"headers": {"host": f"h{number % 7}"}, "body": str(number)}]).encode()
        return (await given.post(body))[0]

    assert set(await asyncio.gather(*(one(number) for number in range(300)))) == {200}
    assert sorted(int(event.body) for event in given.sent) == list(range(300))
