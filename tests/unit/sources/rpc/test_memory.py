"""The bound on requests that are being read, and the time that one may take."""

from __future__ import annotations

import asyncio

import pytest

from parsers.event import Event
from sources.listener import CutShort
from sources.rpc.memory import FREE_BYTES, NoRoom, RequestMemory, Slow
from tests.support.rpc import RpcClient, running, thrift_frame, thrift_request, troubles


class Peer:
    """As much of a connection as the bound needs."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.ended = asyncio.Event()

    def end(self) -> None:
        self.ended.set()


async def test_small_requests_are_free_and_large_ones_wait_for_room() -> None:
    memory = RequestMemory(200_000, wait_s=60)
    first, second, third = (memory.request(Peer(name)) for name in "abc")
    with first, third:
        with second:
            await first.add(FREE_BYTES)
            assert memory.used_bytes == 0
            await first.add(60_000)
            await first.add(40_000)
            await second.add(FREE_BYTES + 100_000)
            assert memory.used_bytes == 200_000
            waiting = asyncio.create_task(third.add(FREE_BYTES + 50_000))
            await asyncio.sleep(0)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 60)
        assert memory.used_bytes == 150_000
    assert memory.used_bytes == 0


async def test_one_peer_gets_half_of_it() -> None:
    memory = RequestMemory(200_000, wait_s=0.01)
    with memory.request(Peer("a")) as first, memory.request(Peer("a")) as second, memory.request(Peer("b")) as third:
        await first.add(FREE_BYTES + 90_000)
        with pytest.raises(NoRoom):
            await second.add(FREE_BYTES + 20_000)
        await third.add(FREE_BYTES + 90_000)
    assert memory.used_bytes == 0


async def test_a_request_that_does_not_come_in_time_ends_its_connection() -> None:
    memory = RequestMemory(200_000, request_s=0.01)
    peer = Peer("a")

    async def read() -> None:
        with memory.request(peer):
            await asyncio.wait_for(peer.ended.wait(), 60)
            raise CutShort("ended")

    with pytest.raises(Slow):
        await read()


async def test_a_slow_client_is_thrown_out_and_counted() -> None:
    async with running("thrift") as (source, taker, port):
        source.memory = RequestMemory(1_000_000, request_s=0.2)
        slow, good = await RpcClient.connect(port), await RpcClient.connect(port)
        await slow.send(thrift_frame(b"x" * 1_000)[:500])
        assert await slow.ended()
        assert troubles(source) == {"slow": 1}
        taker.open.clear()  # waiting for Kafka is no fault of the client's
        await good.send(thrift_frame(thrift_request("compact", "append", [Event({}, b"x")])))
        await asyncio.sleep(0.4)
        taker.open.set()
        assert (await good.thrift_answer("compact")).status == 0
        await slow.close()
        await good.close()
