"""The TCP listener: what a client can do to it, and what it cannot. Real sockets on 127.0.0.0/8."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvloop

from config.listen import ListenAddress
from sources.client import READ_AHEAD_BYTES, peer_of
from sources.errors import CannotListen
from sources.listener import Connection, CutShort, IdleTimeout, Listener, ListenLimits, PeerStalled
from tests.support.polling import wait_until_async

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
DEADLINE_S = 60.0
ANY = ListenAddress("tcp", "127.0.0.1", 0)


@contextlib.asynccontextmanager
async def listening(
    handle: Callable[[Connection], Awaitable[None]],
    limits: ListenLimits | None = None,
    address: ListenAddress = ANY,
) -> AsyncIterator[tuple[Listener, Counter[str]]]:
    refused: Counter[str] = Counter()

    def note(reason: str, _detail: str) -> None:
        refused[reason] += 1

    listener = Listener(address, handle, on_refused=note, limits=limits)
    await listener.start()
    try:
        yield listener, refused
    finally:
        await listener.stop(5.0)


async def until(condition: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return condition()

    await wait_until_async(ask, DEADLINE_S, "the listener's state")


async def echo(connection: Connection) -> None:
    while data := await connection.read_some(4096):
        await connection.write(data)


async def forever(connection: Connection) -> None:
    while await connection.read_some(4096):
        pass


async def connect(listener: Listener, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", listener.port, local_addr=(source, 0))


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_reads_and_writes_and_closes_when_the_handler_returns() -> None:
    async def handle(connection: Connection) -> None:
        assert connection.peer == "127.0.0.1"
        length = await connection.read_exactly(1)
        assert await connection.read_exactly(length[0]) == b"abc"
        await connection.write(b"thanks")

    async with listening(handle) as (listener, refused):
        reader, writer = await connect(listener)
        writer.write(b"\x03a")
        await writer.drain()
        writer.write(b"bc")
        assert await reader.read() == b"thanks"
        await close(writer)
        await until(lambda: listener.connections == 0)
        assert not refused


async def test_a_client_that_has_closed_its_side_still_gets_its_answer() -> None:
    async with listening(echo) as (listener, _):
        reader, writer = await connect(listener)
        writer.write(b"x" * 300_000)
        writer.write_eof()
        assert await reader.read() == b"x" * 300_000
        await close(writer)


async def test_an_end_in_the_middle_is_told_apart_from_an_end() -> None:
    seen: list[object] = []

    async def handle(connection: Connection) -> None:
        try:
            seen.append(await connection.read_exactly(4))
        except CutShort as error:
            seen.append(str(error))
            raise

    async with listening(handle) as (listener, refused):
        for sent in (b"", b"ab"):
            _, writer = await connect(listener)
            writer.write(sent)
            await close(writer)
        await until(lambda: len(seen) == 2 and listener.connections == 0)
        assert sorted(seen, key=str) == ["2 of 4 bytes came", b""]
        assert refused == {"cut_short": 1}


async def test_a_client_is_not_read_ahead_of_its_handler() -> None:
    go_on = asyncio.Event()
    buffered: list[Connection] = []

    async def handle(connection: Connection) -> None:
        buffered.append(connection)
        await go_on.wait()
        await forever(connection)

    async with listening(handle) as (listener, _):
        _, writer = await connect(listener)
        total = 64 << 20
        writer.write(bytes(total))
        await until(lambda: bool(buffered) and buffered[0].received_bytes >= READ_AHEAD_BYTES)
        for _ in range(20):
            await asyncio.sleep(0)
        held = buffered[0].received_bytes
        assert held <= 2 * READ_AHEAD_BYTES
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(writer.drain(), 0.2)
        assert buffered[0].received_bytes == held
        go_on.set()
        await asyncio.wait_for(writer.drain(), DEADLINE_S)
        await close(writer)
        await until(lambda: listener.connections == 0)
        assert buffered[0].received_bytes == total


async def test_too_many_are_closed_at_once_and_the_others_go_on() -> None:
    limits = ListenLimits(max_connections=3, max_per_peer=3)
    async with listening(echo, limits) as (listener, refused):
        clients = [await connect(listener) for _ in range(3)]
        await until(lambda: listener.connections == 3)
        for source in ("127.0.0.1", "127.0.0.2"):
            reader, writer = await connect(listener, source)
            assert await reader.read() == b""
            await close(writer)
        assert refused == {"too_many_of_one_peer": 1, "too_many_connections": 1}
        for reader, writer in clients:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        await close(clients.pop()[1])
        await until(lambda: listener.connections == 2)
        reader, writer = await connect(listener)
        writer.write(b"welcome")
        assert await reader.readexactly(7) == b"welcome"
        for _, each in [*clients, (reader, writer)]:
            await close(each)


async def test_one_machine_cannot_keep_the_others_out() -> None:
    async with listening(echo, ListenLimits(max_connections=6, max_per_peer=3)) as (listener, refused):
        crowd = [await connect(listener) for _ in range(20)]
        await until(lambda: refused["too_many_of_one_peer"] == 17)
        reader, writer = await connect(listener, "127.0.0.2")
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        for _, each in [*crowd, (reader, writer)]:
            await close(each)


async def test_clients_that_never_said_anything_make_room() -> None:
    limits = ListenLimits(max_connections=3, max_per_peer=3, silent_s=0.0)
    async with listening(echo, limits) as (listener, refused):
        talking = await connect(listener)
        talking[1].write(b"x")
        assert await talking[0].readexactly(1) == b"x"
        silent = [await connect(listener) for _ in range(2)]
        await until(lambda: listener.connections == 3)
        newcomer = await connect(listener)
        newcomer[1].write(b"hello")
        assert await newcomer[0].readexactly(5) == b"hello"
        assert await silent[0][0].read() == b""
        assert refused == {"silent": 1}
        assert listener.connections == 3
        talking[1].write(b"y")
        assert await talking[0].readexactly(1) == b"y"
        for _, each in (talking, newcomer, *silent):
            await close(each)


async def test_an_idle_client_is_closed() -> None:
    async with listening(echo, ListenLimits(idle_timeout_s=0.05)) as (listener, refused):
        reader, writer = await connect(listener)
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        await until(lambda: refused == {"idle": 1})
        await close(writer)


async def test_a_client_that_never_reads_is_cut_off() -> None:
    ended: list[BaseException] = []

    async def handle(connection: Connection) -> None:
        try:
            while True:
                await connection.write(bytes(1 << 20))
        except Exception as error:
            ended.append(error)
            raise

    async with listening(handle, ListenLimits(write_timeout_s=0.2)) as (listener, refused):
        with socket.create_connection(("127.0.0.1", listener.port)):
            await until(lambda: bool(ended))
        assert isinstance(ended[0], PeerStalled)
        await until(lambda: refused == {"stalled": 1} and not listener.connections)


async def test_a_last_answer_that_nobody_takes_does_not_hold_the_connection() -> None:
    async def handle(connection: Connection) -> None:
        connection._transport.write(bytes(32 << 20))

    async with listening(handle, ListenLimits(write_timeout_s=0.2)) as (listener, refused):
        with socket.create_connection(("127.0.0.1", listener.port)):
            await until(lambda: refused == {"stalled": 1} and not listener.connections)


async def test_a_handler_that_fails_harms_nobody_else(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(connection: Connection) -> None:
        if await connection.read_some(1) == b"!":
            raise ValueError("a bug")
        await echo(connection)

    async with listening(handle) as (listener, refused):
        good, bad = await connect(listener), await connect(listener)
        bad[1].write(b"!")
        assert await bad[0].read() == b""
        good[1].write(b"?hello")
        assert await good[0].readexactly(5) == b"hello"
        assert refused == {"handler_failed": 1}
        assert "a bug" in caplog.text
        for _, each in (good, bad):
            await close(each)


async def test_stop_lets_handlers_finish_with_what_was_read_and_ends_the_rest() -> None:
    got: list[bytes] = []
    finished, hangs = asyncio.Event(), asyncio.Event()

    async def handle(connection: Connection) -> None:
        first = await connection.read_exactly(1)
        if first == b"x":
            hangs.set()
            await asyncio.Event().wait()  # never comes to an end by itself
        while data := await connection.read_some(2):
            got.append(data)
            await asyncio.sleep(0)
        finished.set()

    async with listening(handle) as (listener, refused):
        reading, hanging = await connect(listener), await connect(listener)
        port = listener.port
        reading[1].write(b"-abcdef")
        hanging[1].write(b"x")
        await until(lambda: bool(got) and sum(c.received_bytes for c, _ in listener._serving.values()) == 8)
        await asyncio.wait_for(hangs.wait(), DEADLINE_S)
        stopping = asyncio.create_task(listener.stop(DEADLINE_S))
        await asyncio.wait_for(finished.wait(), DEADLINE_S)
        assert b"".join(got) == b"abcdef"
        await until(lambda: listener.connections == 1)
        assert not stopping.done()
        await listener.stop(0.2)  # the grace of the one that hangs; whatever the machine does, no other is left
        await asyncio.wait_for(stopping, DEADLINE_S)
        assert listener.connections == 0
        assert not refused
        for reader, writer in (reading, hanging):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            await close(writer)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await listener.stop(0.2)  # once more does nothing


async def test_an_address_that_is_taken_or_not_ours_is_named() -> None:
    async with listening(echo) as (listener, _):
        taken = ListenAddress("tcp", "127.0.0.1", listener.port)
        with pytest.raises(CannotListen, match=rf"^tcp://127\.0\.0\.1:{listener.port} .*: [Aa]ddress already in use$"):
            await Listener(taken, echo, on_refused=lambda *_: None).start()
    with pytest.raises(CannotListen, match=r"^tcp://192\.0\.2\.1:5514 .*: [Cc]annot assign requested address$"):
        await Listener(ListenAddress("tcp", "192.0.2.1", 5514), echo, on_refused=lambda *_: None).start()
    with pytest.raises(CannotListen, match=r"^tcp://no-such-host\.invalid:1 .*: "):
        await Listener(ListenAddress("tcp", "no-such-host.invalid", 1), echo, on_refused=lambda *_: None).start()


async def test_survives_running_out_of_descriptors() -> None:
    async with listening(echo) as (listener, refused):
        client = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = socket.socket()
        lowest_free = spare.fileno()
        spare.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", listener.port))
            await until(lambda: refused["no_descriptors"] > 0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await asyncio.get_running_loop().sock_sendall(client, b"hello")
        assert await asyncio.wait_for(asyncio.get_running_loop().sock_recv(client, 5), DEADLINE_S) == b"hello"
        client.close()


async def test_listens_at_ipv6_and_names_ipv4_peers_as_such() -> None:
    peers: list[str] = []

    async def handle(connection: Connection) -> None:
        peers.append(connection.peer)

    async with listening(handle, address=ListenAddress("tcp", "::", 0)) as (listener, _):
        for host in ("::1", "127.0.0.1"):
            reader, writer = await asyncio.open_connection(host, listener.port)
            assert await reader.read() == b""
            await close(writer)
    assert peers == ["::1", "127.0.0.1"]


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        (("10.0.0.1", 5), "10.0.0.1"),
        (("::ffff:10.0.0.1", 5, 0, 0), "10.0.0.1"),
        (("fe80::1%eth0", 5, 0, 2), "fe80::1"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_peer_is_an_address_without_port(address: object, peer: str) -> None:
    assert peer_of(address) == peer


def test_each_trouble_has_a_reason_of_its_own() -> None:
    assert {error.reason for error in (IdleTimeout, CutShort, PeerStalled)} == {"idle", "cut_short", "stalled"}
