"""Posts over many keep-alive connections, one event a post, each answered before the next; run as a process of its own.

`python -m bench.http_load URL POSTS CONNECTIONS [EVENTS]` prints one JSON line: what was acknowledged, and how fast.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """One connection: writes a request, waits for the end of its answer, writes the next."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._sent_at = 0.0
        self._answer = b""
        self._request = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = self._load.take()
        if request is None:
            self._transport.close()
            return
        self._request = request
        self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self._answer = b""
        if head[9:12] == b"200":
            self._load.done(time.perf_counter() - self._sent_at)
            self._next()
        else:
            self._load.refused += 1
            asyncio.get_running_loop().call_later(0.1, self._send)  # as a real client: again, a little later

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost(exc)


class Load:
    """Hands requests to connections and keeps their latencies."""

    def __init__(self, host: str, posts: int, events: int) -> None:
        self._left = posts
        self._events = events
        self._host = host
        self._number = 0
        self._second = 0
        self._stamp = ""
        self.latencies: list[float] = []
        self.refused = 0
        self.open = 0
        self.error: Exception | None = None
        self.finished = asyncio.Event()

    def take(self) -> bytes | None:
        """The next request, None when all are taken."""
        if self._left == 0:
            return None
        self._left -= 1
        now = int(time.time())
        if now != self._second:
            self._second, self._stamp = now, time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
        body = json.dumps([self._event() for _ in range(self._events)]).encode()
        return (
            b"POST /logCollect2 HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (self._host.encode(), len(body))
        ) + body

    def _event(self) -> dict[str, object]:
        self._number += 1
        n = self._number
        line = f'10.0.{n % 256}.7 - - [{self._stamp}] "GET /item/{n % 50}?n={n} HTTP/1.1" 200 {n % 5000}'
        headers = {"type": "access_log", "host": f"web-{n % 64}", "service": "shop"}
        return {"headers": headers, "body": line}

    def done(self, seconds: float) -> None:
        """Note an acknowledged post."""
        self.latencies.append(seconds)

    def lost(self, exc: Exception | None) -> None:
        """Note a closed connection; the last one ends the run."""
        self.error = self.error or exc
        self.open -= 1
        if self.open == 0:
            self.finished.set()


async def run(url: str, posts: int, connections: int, events: int) -> dict[str, object]:
    """Make the load; every post is acknowledged when it returns."""
    address = urlsplit(url)
    assert address.hostname, f"{url} names no host"
    assert address.port, f"{url} names no port"
    host, port = address.hostname, address.port
    loop = asyncio.get_running_loop()
    load = Load(address.netloc, posts, events)
    began = time.perf_counter()
    for start in range(0, connections, 100):
        group = range(start, min(start + 100, connections))
        load.open += len(group)
        await asyncio.gather(*(loop.create_connection(lambda: Client(load), host, port) for _ in group))
    await asyncio.wait_for(load.finished.wait(), 600)
    seconds = time.perf_counter() - began
    if len(load.latencies) != posts:
        raise RuntimeError(f"{posts - len(load.latencies)} posts were not acknowledged: {load.error!r}")
    ordered = sorted(load.latencies)
    return {
        "posts": posts,
        "events": posts * events,
        "refused": load.refused,
        "seconds": round(seconds, 3),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 2),
    }


if __name__ == "__main__":
    uvloop.install()
    url, *numbers = sys.argv[1:]
    posts, connections, events = (*map(int, numbers), 1)[:3]
    print(json.dumps(asyncio.run(run(url, posts, connections, events))))
