"""The Avro source on real sockets: handshakes, framing, compression."""

from __future__ import annotations

import asyncio
import hashlib
import zlib

import pytest
import uvloop

from parsers.avro_protocol import FLUME_HASH, PROTOCOL, PROTOCOL_HASH
from parsers.event import Event
from sources.errors import BrokerUnavailable
from tests.support.polling import wait_until_async
from tests.support.rpc import (
    DEADLINE_S,
    AvroAnswer,
    RpcClient,
    avro_frame,
    avro_handshake,
    avro_request,
    running,
    troubles,
)

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
EVENTS = [Event({"host": "web-1", "n": str(number)}, b"line %d \xff\x00" % number) for number in range(3)]
BATCH = avro_request("appendBatch", EVENTS)
OK = AvroAnswer(None, None, "OK", None)

DOCUMENTED = PROTOCOL.replace('"namespace"', '"doc":"another release","namespace"')
DOCUMENTED_HASH = hashlib.md5(DOCUMENTED.encode()).digest()


@pytest.mark.parametrize("compression", ["none", "deflate"])
async def test_events_are_taken_and_answered_in_order(compression: str) -> None:
    async with running("avro", compression=compression) as (source, taker, port):
        client = await RpcClient.connect(port, deflate=compression == "deflate")
        await client.send(
            avro_frame(7, avro_handshake() + BATCH)
            + avro_frame(9, avro_request("append", EVENTS), piece_bytes=3)
            + avro_frame(8, avro_request("appendBatch", [], {"trace": b"\x00"}))
        )
        assert await client.avro_answer(handshake=True) == (7, OK._replace(match="BOTH"))
        assert await client.avro_answer(handshake=False) == (9, OK)
        assert await client.avro_answer(handshake=False) == (8, OK)
        assert taker.events == [*EVENTS, EVENTS[0]]
        assert source.flow.accepted == source.flow.sent == source.flow.received == 4
        await client.close()
        assert troubles(source) == {}


async def test_a_client_of_another_release_sends_its_protocol_once() -> None:
    async with running("avro") as (_, taker, port):
        first = await RpcClient.connect(port)
        unknown = avro_handshake(DOCUMENTED_HASH, None, DOCUMENTED_HASH)
        await first.send(avro_frame(1, unknown + BATCH))
        assert await first.avro_answer(handshake=True) == (1, AvroAnswer("NONE", PROTOCOL, None, None))
        assert taker.events == []
        await first.send(avro_frame(2, avro_handshake(DOCUMENTED_HASH, DOCUMENTED, PROTOCOL_HASH) + BATCH))
        assert await first.avro_answer(handshake=True) == (2, OK._replace(match="BOTH"))
        assert taker.events == EVENTS
        second = await RpcClient.connect(port)
        await second.send(avro_frame(1, unknown + BATCH))
        assert await second.avro_answer(handshake=True) == (1, OK._replace(match="BOTH"))
        await first.close()
        await second.close()


async def test_a_client_that_takes_the_server_for_another_is_told_the_protocol() -> None:
    async with running("avro") as (_, taker, port):
        client = await RpcClient.connect(port)
        await client.send(avro_frame(1, avro_handshake(FLUME_HASH, None, b"?" * 16) + BATCH))
        assert await client.avro_answer(handshake=True) == (1, AvroAnswer("CLIENT", PROTOCOL, "OK", None))
        assert taker.events == EVENTS
        await client.close()


async def test_a_client_with_other_events_gets_an_error_for_each_request() -> None:
    other = PROTOCOL.replace('"body","type":"bytes"', '"body","type":"string"')
    async with running("avro") as (source, taker, port):
        client = await RpcClient.connect(port)
        await client.send(avro_frame(1, avro_handshake(hashlib.md5(other.encode()).digest(), other) + BATCH))
        await client.send(avro_frame(2, BATCH))
        _, answer = await client.avro_answer(handshake=True)
        assert answer.match == "BOTH"
        assert answer.error is not None
        assert "the argument of append is not Flume's" in answer.error
        assert (await client.avro_answer(handshake=False))[1].error == answer.error
        assert taker.events == []
        assert troubles(source) == {"other_protocol": 2}
        await client.close()


async def test_nobody_can_spoil_the_hash_of_another() -> None:
    async with running("avro") as (_, taker, port):
        liar, honest = await RpcClient.connect(port), await RpcClient.connect(port)
        await liar.send(avro_frame(1, avro_handshake(DOCUMENTED_HASH, "{}") + BATCH))
        assert (await liar.avro_answer(handshake=True))[1].error is not None
        await honest.send(avro_frame(1, avro_handshake(DOCUMENTED_HASH, DOCUMENTED) + BATCH))
        assert (await honest.avro_answer(handshake=True))[1].status == "OK"
        assert taker.events == EVENTS
        await liar.close()
        await honest.close()


async def test_what_kafka_does_not_take_is_answered_failed() -> None:
    async with running("avro") as (source, taker, port):
        client = await RpcClient.connect(port)
        taker.refusal = BrokerUnavailable("away")
        await client.send(avro_frame(1, avro_handshake() + BATCH))
        assert (await client.avro_answer(handshake=True))[1].status == "FAILED"
        assert source.flow.rejected == {"broker_unavailable": 3}
        taker.refusal = None
        await client.send(avro_frame(2, BATCH))
        assert await client.avro_answer(handshake=False) == (2, OK)
        assert taker.events == EVENTS
        await client.close()


async def test_an_unknown_message_and_a_ping() -> None:
    async with running("avro") as (source, taker, port):
        client = await RpcClient.connect(port)
        await client.send(avro_frame(1, avro_handshake() + avro_request("", [])))
        assert await client.avro_answer(handshake=True) == (1, AvroAnswer("BOTH", None, None, None))
        await client.send(avro_frame(2, avro_request("remove", [])) + avro_frame(3, BATCH))
        assert await client.avro_answer(handshake=False) == (
            2,
            AvroAnswer(None, None, None, "no such message: 'remove'"),
        )
        assert await client.avro_answer(handshake=False) == (3, OK)
        assert taker.events == EVENTS
        assert troubles(source) == {"unknown_method": 1}
        await client.close()


@pytest.mark.parametrize(
    ("compression", "sent", "reason"),
    [
        ("none", b"GET / HTTP/1.1\r\n\r\n", "not_framed"),
        ("none", b"\x00" * 8, "truncated"),
        ("none", avro_frame(1, b"x" * 65_537), "request_too_large"),
        ("none", avro_frame(1, avro_handshake() + BATCH[:-1]), "truncated"),
        ("none", avro_frame(1, avro_handshake() + BATCH + b"\x00"), "bad_message"),
        ("deflate", avro_frame(1, avro_handshake() + BATCH), "not_deflated"),
        ("deflate", zlib.compress(b"\xff" * 100_000), "not_framed"),
        ("deflate", zlib.compress(avro_frame(1, b"\x00" * 5_000_000, 65_000)), "request_too_large"),
        ("deflate", zlib.compress(b"") + b"more", "not_deflated"),
    ],
)
async def test_garbage_ends_its_connection(compression: str, sent: bytes, reason: str) -> None:
    async with running("avro", compression=compression, max_request_bytes=65_536) as (source, taker, port):
        client = await RpcClient.connect(port)
        await client.send(sent)

        async def counted() -> bool:
            return troubles(source) == {reason: 1}

        await wait_until_async(counted, DEADLINE_S, f"{reason} in {troubles(source)}")
        assert await client.ended()
        assert taker.events == []
        await client.close()


async def test_a_deflated_stream_may_end_before_its_connection() -> None:
    async with running("avro", compression="deflate") as (source, taker, port):
        client = await RpcClient.connect(port)
        await client.send(zlib.compress(avro_frame(1, avro_handshake() + BATCH)))
        assert not await client.ended()  # it is answered first
        assert taker.events == EVENTS
        await client.close()
    assert troubles(source) == {}
