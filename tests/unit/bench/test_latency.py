"""The client that posts and asks: whole answers however they come, and no failure that goes unseen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from bench.latency import EVENTS_A_POST, Client, Seen


class Server:
    """Answers each request with the same pieces, one write each."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._pieces = pieces

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"Content-Length: (\d+)", head)
                self.requests.append(head + (await reader.readexactly(int(length[1])) if length else b""))
                for piece in self._pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.01)  # a piece is not to arrive together with the next
                if not self._pieces:
                    return
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def served(*pieces: bytes) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(pieces)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    client = Client(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}")
    try:
        yield server, client
    finally:
        client.close()
        listening.close()


async def test_an_answer_that_comes_in_pieces_is_read_whole() -> None:
    async with served(b"HTTP/1.1 200 OK\r\nContent-", b"Length: 5\r\n\r\n", b"ab", b"cde") as (server, client):
        assert await client.get("/api/access") == b"abcde"
        assert await client.get("/api/access") == b"abcde"
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /api/access HTTP/1.1\r\n")


async def test_posts_at_once_have_a_connection_each() -> None:
    async with served(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (server, client):
        await asyncio.gather(client.post("/logCollect2", b"[1]"), client.post("/logCollect2", b"[2]"))
        await client.post("/logCollect2", b"[3]")
    assert server.connections == 2
    assert sorted(request[-3:] for request in server.requests) == [b"[1]", b"[2]", b"[3]"]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nlate", None])
async def test_a_refusal_and_a_closed_connection_fail_the_run(answer: bytes | None) -> None:
    async with served(*([answer] if answer else [])) as (_, client):
        with pytest.raises(RuntimeError, match=r"503|closed"):
            await client.post("/logCollect2", b"[]")


def test_a_post_is_events_in_the_form_that_ingest_reads() -> None:
    seen = Seen()
    events = [*orjson.loads(seen.take()), *orjson.loads(seen.take())]
    assert len(events) == len(seen.posted_at) == 2 * EVENTS_A_POST
    assert [re.findall(r"n=(\d+)", event["body"]) for event in events] == [
        [str(number)] for number in range(len(events))
    ]
    assert events[-1]["headers"] == {"type": "access_log", "host": "web-1", "service": "shop"}
