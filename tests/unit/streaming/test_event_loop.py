"""aiokafka on uvloop: a connection that is gone is an error of the connection, whichever loop says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest
from aiokafka.protocol.metadata import MetadataRequest

from streaming import event_loop


@pytest.fixture
def policy() -> Iterator[None]:
    before, send = asyncio.get_event_loop_policy(), AIOKafkaConnection.send
    yield
    asyncio.set_event_loop_policy(before)
    AIOKafkaConnection.send = send


def on_uvloop(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(work())
    finally:
        loop.close()


async def closed_connection() -> AIOKafkaConnection:
    """A connection whose transport is closed already while aiokafka still takes it for open."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = AIOKafkaConnection("127.0.0.1", port)
    connection._closed_fut = asyncio.get_running_loop().create_future()
    connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
    connection._read_task = asyncio.create_task(asyncio.sleep(0))
    connection._writer.transport.abort()
    server.close()
    await server.wait_closed()
    for _ in range(10):  # uvloop closes its handle in turns of the loop
        await asyncio.sleep(0)
    return connection


def test_aiokafka_alone_lets_the_runtime_error_of_uvloop_through() -> None:
    """The assumption: when this fails, `streaming/event_loop.py` has become superfluous."""

    async def work() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            event_loop._send(await closed_connection(), ApiVersionRequest())

    on_uvloop(work)


def test_writing_to_a_closed_transport_is_a_broken_connection(policy: None) -> None:
    event_loop.install()
    closed: list[bool] = []

    async def work() -> None:
        connection = await closed_connection()
        connection._on_close_cb = lambda *_: closed.append(True)
        with pytest.raises(KafkaConnectionError, match=f"127.0.0.1:{connection.port} broken"):
            connection.send(ApiVersionRequest())
        assert not connection.connected()

    on_uvloop(work)
    assert closed == [True]


def test_what_aiokafka_itself_refuses_stays_what_it_is(policy: None) -> None:
    event_loop.install()

    async def work() -> None:
        connection = await closed_connection()
        with pytest.raises(IncompatibleBrokerVersion):  # this connection never asked for the broker's versions
            connection.send(MetadataRequest([]))
        connection.close()

    on_uvloop(work)


def test_every_new_loop_is_of_uvloop(policy: None) -> None:
    event_loop.install()
    loop = asyncio.new_event_loop()
    assert isinstance(loop, uvloop.Loop)
    loop.close()
