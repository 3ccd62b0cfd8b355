"""Posts at a steady rate, and sees when each event is in `access-log` (read_committed) and counted in `/api/access`.

`python -m bench.latency URL BOOTSTRAP EVENTS_PER_S SECONDS` prints one JSON line. A process of its own; an
event's latency begins when its post is written, answered or not.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

import aiohttp
import uvloop
from aiokafka import AIOKafkaConsumer

EVENTS_A_POST = 10
ASK_EVERY_S = 0.02
PATIENCE_S = 180.0
_NUMBER = re.compile(rb"n=(\d+)")


class Seen:
    """When events were posted, by number; and what was seen of them elsewhere."""

    def __init__(self) -> None:
        self.posted_at: list[float] = []
        self.posting_s = 0.0  # until the last was answered
        self.forwarded: dict[int, float] = {}
        self.counted: list[float] = []  # seconds from the k-th post to a count of k, for every event

    def take(self) -> list[dict[str, object]]:
        """The events of the next post, posted now."""
        first, now = len(self.posted_at), time.perf_counter()
        self.posted_at += [now] * EVENTS_A_POST
        stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        return [_event(number, stamp) for number in range(first, first + EVENTS_A_POST)]


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
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    try:
        watchers = [_forwarded(consumer, seen, total), _counted(session, url, seen, total)]
        await asyncio.wait_for(asyncio.gather(_post(session, url, seen, total, per_s), *watchers), seconds + PATIENCE_S)
    finally:
        await consumer.stop()
        await session.close()
    return {
        "events": total,
        "per_s": total / seen.posting_s,
        "forwarded": len(seen.forwarded),
        "counted": len(seen.counted),
        "access-log": _figures([at - seen.posted_at[number] for number, at in seen.forwarded.items()]),
        "/api/access": _figures(seen.counted),
    }


async def _post(session: aiohttp.ClientSession, url: str, seen: Seen, total: int, per_s: int) -> None:
    began, under_way = time.perf_counter(), set()
    for number in range(total // EVENTS_A_POST):
        due = began + number * EVENTS_A_POST / per_s
        if (wait_s := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait_s)
        post = asyncio.create_task(_one(session, f"{url}/logCollect2", json.dumps(seen.take()).encode()))
        under_way.add(post)
        post.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    seen.posting_s = time.perf_counter() - began


async def _one(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {await answer.text()}")


async def _forwarded(consumer: AIOKafkaConsumer, seen: Seen, total: int) -> None:
    while len(seen.forwarded) < total:
        for records in (await consumer.getmany(timeout_ms=100)).values():
            now = time.perf_counter()
            for record in records:
                found = _NUMBER.search(record.value)
                assert found is not None, record.value
                seen.forwarded[int(found[1])] = now


async def _counted(session: aiohttp.ClientSession, url: str, seen: Seen, total: int) -> None:
    while len(seen.counted) < total:
        async with session.get(f"{url}/api/access") as answer:
            windows = (await answer.json())["windows"]
        now = time.perf_counter()
        count = sum(window["requests"] for window in windows)
        seen.counted += [now - at for at in seen.posted_at[len(seen.counted) : count]]
        await asyncio.sleep(ASK_EVERY_S)


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    at = {"p50_ms": len(ordered) // 2, "p99_ms": int(len(ordered) * 0.99), "max_ms": -1}
    return {name: round(ordered[index] * 1000, 1) for name, index in at.items()}


def _event(number: int, stamp: str) -> dict[str, object]:
    line = f'10.0.{number % 256}.7 - - [{stamp}] "GET /item/{number % 50}?n={number} HTTP/1.1" 200 {number % 5000}'
    return {
        "headers": {"type": "access_log", "host": f"web-{number // EVENTS_A_POST % 64}", "service": "shop"},
        "body": line,
    }


if __name__ == "__main__":
    uvloop.install()
    address, servers, rate, duration = sys.argv[1:]
    print(json.dumps(asyncio.run(run(address, servers, int(rate), float(duration)))))
