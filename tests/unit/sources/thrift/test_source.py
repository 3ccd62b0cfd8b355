"""The Thrift source on real sockets."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import uvloop
from thriftpy2.thrift import TApplicationException

from parsers.event import Event
from parsers.flume_thrift import FAILED, OK
from sources.errors import BrokerUnavailable, CannotListen, Overloaded
from tests.support.polling import wait_until_async
from tests.support.rpc import DEADLINE_S, RpcClient, ThriftAnswer, running, thrift_frame, thrift_request, troubles

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
CERTIFICATES = Path(__file__).parents[3] / "data" / "tls"
EVENTS = [Event({"host": "web-1", "n": str(number)}, b"line %d \xff\x00" % number) for number in range(3)]


@pytest.mark.parametrize("protocol", ["compact", "binary"])
async def test_events_are_taken_and_answered_in_order(protocol: str) -> None:
    async with running("thrift", protocol=protocol) as (source, taker, port):
        client = await RpcClient.connect(port)
        requests = [
            thrift_request(protocol, "appendBatch", EVENTS, 1),
            thrift_request(protocol, "append", EVENTS, 2),
            thrift_request(protocol, "appendBatch", [], 3),
        ]
        await client.send(b"".join(map(thrift_frame, requests)))  # sent ahead, answered one after the other
        answers = [await client.thrift_answer(protocol) for _ in requests]
        assert answers == [
            ThriftAnswer("appendBatch", 1, OK, None),
            ThriftAnswer("append", 2, OK, None),
            ThriftAnswer("appendBatch", 3, OK, None),
        ]
        assert taker.events == [*EVENTS, EVENTS[0]]
        await client.close()
        assert source.flow.accepted == source.flow.sent == source.flow.received == 4
        assert source.flow.received_bytes == sum(len(event.body) for event in taker.events)
        assert troubles(source) == {}


async def test_a_sources_headers_go_to_every_event() -> None:
    for override, service in ((False, "own"), (True, "shop")):
        told = {"type": "business", "service": "shop"}
        async with running("thrift", headers=told, override=override) as (_, taker, port):
            client = await RpcClient.connect(port)
            events = [Event({"service": "own"}, b"a"), Event({"service": "own"}, b"b"), Event({}, b"c")]
            await client.send(thrift_frame(thrift_request("compact", "appendBatch", events)))
            await client.thrift_answer("compact")
            assert taker.events == [
                Event({"type": "business", "service": service}, b"a"),
                Event({"type": "business", "service": service}, b"b"),
                Event({"type": "business", "service": "shop"}, b"c"),
            ]
            await client.close()


@pytest.mark.parametrize("refusal", [BrokerUnavailable("away"), Overloaded("full")])
async def test_what_kafka_does_not_take_is_answered_failed(refusal: BrokerUnavailable | Overloaded) -> None:
    async with running("thrift") as (source, taker, port):
        client = await RpcClient.connect(port)
        request = thrift_frame(thrift_request("compact", "appendBatch", EVENTS))
        taker.refusal = refusal
        await client.send(request)
        assert (await client.thrift_answer("compact")).status == FAILED
        assert source.flow.rejected == {refusal.reason: 3}
        assert source.flow.state == "backing off"
        taker.refusal = None
        await client.send(request)
        assert (await client.thrift_answer("compact")).status == OK
        assert source.flow.state == "running"
        assert taker.events == EVENTS
        await client.close()


async def test_an_unknown_method_is_an_exception_and_the_connection_goes_on() -> None:
    async with running("thrift", protocol="binary") as (source, taker, port):
        client = await RpcClient.connect(port)
        unknown = thrift_request("binary", "append", EVENTS, 8).replace(b"append", b"remove")
        await client.send(thrift_frame(unknown) + thrift_frame(thrift_request("binary", "append", EVENTS, 9)))
        answer = await client.thrift_answer("binary")
        assert (answer.method, answer.sequence) == ("remove", 8)
        assert answer.exception is not None
        assert answer.exception.type == TApplicationException.UNKNOWN_METHOD
        assert await client.thrift_answer("binary") == ThriftAnswer("append", 9, OK, None)
        assert taker.events == EVENTS[:1]
        assert troubles(source) == {"unknown_method": 1}
        await client.close()


async def test_a_oneway_request_has_no_answer() -> None:
    async with running("thrift") as (_, taker, port):
        client = await RpcClient.connect(port)
        oneway = thrift_request("compact", "append", EVENTS, 1, kind=4)
        await client.send(thrift_frame(oneway) + thrift_frame(thrift_request("compact", "append", EVENTS[1:], 2)))
        assert (await client.thrift_answer("compact")).sequence == 2
        assert taker.events == EVENTS[:2]
        await client.close()


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "request_too_large"),
        (b"\x80\x01\x00\x01\x00\x00\x00\x06append", "not_framed"),
        (b"\x00\x01\x00\x01", "request_too_large"),
        (b"\x00\x00\x00\x00", "truncated"),
        (b"\x00\x00\x00\x05\x82\x21\x01\x7fa", "truncated"),
        (b"\x00\x00\x00\x05hello", "bad_message"),
    ],
)
async def test_garbage_ends_its_connection_and_no_other(sent: bytes, reason: str) -> None:
    async with running("thrift", max_request_bytes=65_536) as (source, taker, port):
        good, bad = await RpcClient.connect(port), await RpcClient.connect(port)
        await bad.send(sent)
        assert await bad.ended()
        assert troubles(source) == {reason: 1}
        await good.send(thrift_frame(thrift_request("compact", "append", EVENTS)))
        assert (await good.thrift_answer("compact")).status == OK
        assert taker.events == EVENTS[:1]
        await bad.close()
        await good.close()


async def test_a_client_that_leaves_in_the_middle_is_counted() -> None:
    async with running("thrift") as (source, taker, port):
        client = await RpcClient.connect(port)
        await client.send(thrift_frame(thrift_request("compact", "appendBatch", EVENTS))[:-1])
        await client.close()

        async def counted() -> bool:
            return troubles(source) == {"cut_short": 1}

        await wait_until_async(counted, DEADLINE_S, "the count")
        assert taker.events == []


async def test_a_large_request_is_taken_apart_elsewhere() -> None:
    async with running("thrift") as (_, taker, port):
        client = await RpcClient.connect(port)
        events = [Event({"n": str(number)}, b"x" * 900) for number in range(1_000)]
        await client.send(thrift_frame(thrift_request("compact", "appendBatch", events)))
        assert (await client.thrift_answer("compact")).status == OK
        assert taker.events == events
        await client.close()


async def test_a_stop_answers_what_has_come() -> None:
    async with running("thrift") as (source, taker, port):
        client = await RpcClient.connect(port)
        taker.open.clear()
        await client.send(thrift_frame(thrift_request("compact", "append", EVENTS)))

        async def waiting() -> bool:
            return taker.waiting == 1

        await wait_until_async(waiting, DEADLINE_S, "the request at Kafka")
        stopping = asyncio.create_task(source.stop())
        await asyncio.sleep(0)
        taker.open.set()
        assert (await client.thrift_answer("compact")).status == OK
        await stopping
        assert await client.ended()
        await client.close()


async def test_tls_and_its_certificates() -> None:
    files = {"cert": CERTIFICATES / "server.pem", "key": CERTIFICATES / "server-key.pem"}
    async with running("thrift", tls=True, **files) as (source, taker, port):
        context = ssl.create_default_context(cafile=CERTIFICATES / "server.pem")
        client = await RpcClient.connect(port, ssl=context)
        await client.send(thrift_frame(thrift_request("compact", "appendBatch", EVENTS)))
        assert (await client.thrift_answer("compact")).status == OK
        assert taker.events == EVENTS
        await client.close()
        plain = await RpcClient.connect(port)
        await plain.send(thrift_frame(thrift_request("compact", "appendBatch", EVENTS)))
        await plain.ended()
        await plain.close()

        async def counted() -> bool:
            return troubles(source).get("tls_handshake") == 1

        await wait_until_async(counted, DEADLINE_S, "the failed handshake")
    with pytest.raises(CannotListen, match=r"none\.pem"):
        async with running("thrift", tls=True, **{**files, "key": CERTIFICATES / "none.pem"}):
            pass
