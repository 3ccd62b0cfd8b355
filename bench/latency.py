"""Posts at a steady rate, and sees when each event is in `access-log` (read_committed) and counted in `/api/access`.

`python -m bench.latency URL BOOTSTRAP EVENTS_PER_S SECONDS` prints one JSON line. A process of its own; an
event's latency begins when its post is written, answered or not. The first fifth of the events warms everything up: it
has to arrive like the rest, and is in no figure.

The load takes the same two cores as what is measured: requests are written to sockets without a client library.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop
from aiokafka import AIOKafkaConsumer

from bench.progress import WARM_SHARE

EVENTS_A_POST = 10
ASK_EVERY_S = 0.02
PATIENCE_S = 180.0
_EVENT = json.dumps(
    {
        "headers": {"type": "access_log", "host": "web-%d", "service": "shop"},
        "body": '10.0.%d.7 - - [%s] "GET /item/%d?n=%d HTTP/1.1" 200 %d',
    }
)
_NUMBER = re.compile(rb"n=(\d+)")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Seen:
    """When events were posted, by number; and what was seen of them elsewhere."""

    def __init__(self) -> None:
        self.posted_at: list[float] = []
        self.posting_s = 0.0  # until the last was answered
        self.forwarded: dict[int, float] = {}
        self.counted: list[float] = []  # seconds from the k-th post to a count of k, for every event

    def take(self) -> bytes:
        """The events of the next post, posted now."""
        first, now = len(self.posted_at), time.perf_counter()
        self.posted_at += [now] * EVENTS_A_POST
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        return f"[{','.join(_event(number, stamp) for number in range(first, first + EVENTS_A_POST))}]".encode()


class Connection(asyncio.Protocol):
    """One HTTP connection for one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not of the class

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for any status but 200, and when the connection is closed."""
        assert self._transport is not None
        assert self._answered is None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answered
        finally:
            self._answered = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, _, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n")
        if self._answered is None or length is None or len(body) < int(length[1]):
            return
        self._received.clear()
        if head.startswith(b"HTTP/1.1 200 "):
            self._answered.set_result(bytes(body))
        else:
            self._answered.set_exception(RuntimeError(f"{bytes(head)!r} {bytes(body)!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(RuntimeError(f"the connection was closed: {exc!r}"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Client:
    """As many connections to one address as there are requests at once."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._idle: list[Connection] = []

    async def post(self, path: str, body: bytes) -> None:
        """Raises RuntimeError for any status but 200."""
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nContent-Type: application/json\r\n"
        await self._ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def get(self, path: str) -> bytes:
        """Raises RuntimeError for any status but 200."""
        return await self._ask(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())

    async def _ask(self, request: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        connection = (
            self._idle.pop() if self._idle else (await loop.create_connection(Connection, self._host, self._port))[1]
        )
        answer = await connection.ask(request)
        self._idle.append(connection)
        return answer

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


async def run(url: str, bootstrap: str, per_s: int, seconds: float) -> dict[str, object]:
    """Make the load; every event is seen everywhere when it returns, or the patience was not enough."""
    seen = Seen()
    total = int(per_s * seconds) // EVENTS_A_POST * EVENTS_A_POST
    consumer = AIOKafkaConsumer(
        "access-log",
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=10,
    )
    await consumer.start()
    posting, asking = Client(url), Client(url)  # not the same connections: senders and readers are others
    try:
        watchers = [_forwarded(consumer, seen, total), _counted(asking, seen, total)]
        await asyncio.wait_for(asyncio.gather(_post(posting, seen, total, per_s), *watchers), seconds + PATIENCE_S)
    finally:
        await consumer.stop()
        posting.close()
        asking.close()
    warm = int(total * WARM_SHARE)
    return {
        "events": total,
        "per_s": total / seen.posting_s,
        "forwarded": len(seen.forwarded),
        "counted": len(seen.counted),
        "access-log": _figures([seen.forwarded[number] - seen.posted_at[number] for number in range(warm, total)]),
        "/api/access": _figures(seen.counted[warm:]),
    }


async def _post(client: Client, seen: Seen, total: int, per_s: int) -> None:
    began, posts = time.perf_counter(), []
    for number in range(total // EVENTS_A_POST):
        due = began + number * EVENTS_A_POST / per_s
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        posts.append(asyncio.create_task(client.post("/logCollect2", seen.take())))
    await asyncio.gather(*posts)
    seen.posting_s = time.perf_counter() - began


async def _forwarded(consumer: AIOKafkaConsumer, seen: Seen, total: int) -> None:
    while len(seen.forwarded) < total:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            now = time.perf_counter()
            for record in records:
                found = _NUMBER.search(record.value)
                assert found is not None, record.value
                seen.forwarded[int(found[1])] = now


async def _counted(client: Client, seen: Seen, total: int) -> None:
    while len(seen.counted) < total:
        windows = json.loads(await client.get("/api/access"))["windows"]
        now = time.perf_counter()
        count = sum(window["requests"] for window in windows)
        seen.counted += [now - at for at in seen.posted_at[len(seen.counted) : count]]
        await asyncio.sleep(ASK_EVERY_S)


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50_ms": len(ordered) // 2, "p99_ms": int(len(ordered) * 0.99), "max_ms": -1}
    return {name: round(ordered[index] * 1000, 1) for name, index in at.items()}


def _event(number: int, stamp: str) -> str:
    return _EVENT % (number // EVENTS_A_POST % 64, number % 256, stamp, number % 50, number, number % 5000)


if __name__ == "__main__":
    uvloop.install()
    address, servers, rate, duration = sys.argv[1:]
    print(json.dumps(asyncio.run(run(address, servers, int(rate), float(duration)))))
