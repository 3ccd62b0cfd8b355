"""The peer of the monitor: Faust as its documentation shows it, one event at a time, at-least-once.

raw-log -> parsed access lines -> JSON to `stock-forwarded`, and a tumbling window table of requests and bytes; of order
lines a table of count, sum, largest value and a histogram of the amount, by status.
Run by `faust -A bench.peers.stock_faust worker`, with STOCK_ID, STOCK_BROKER and STOCK_DATA in the environment.
"""

from __future__ import annotations

import json
import math
import os
import re
import time

import faust

LINE = re.compile(
    rb"^(\S+) (\S+) (.+?) \[(\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] "
    rb'"((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)(?: "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)")?'
)

app = faust.App(
    os.environ.get("STOCK_ID", "stock"),
    broker=os.environ.get("STOCK_BROKER", "kafka://127.0.0.1:9092"),
    datadir=os.environ.get("STOCK_DATA", "stock-data"),
    store="rocksdb://?driver=rocksdict",
    topic_partitions=4,
    topic_disable_leader=True,
    web_enabled=False,
)
raw_log = app.topic("raw-log", key_type=bytes, value_type=bytes, value_serializer="raw", key_serializer="raw")
forwarded = app.topic("stock-forwarded", key_type=bytes, value_type=bytes, value_serializer="json", partitions=4)
requests = app.Table("requests", default=int, partitions=4).tumbling(10.0, expires=3600.0)
bytes_sent = app.Table("bytes_sent", default=int, partitions=4).tumbling(10.0, expires=3600.0)

orders = app.Table("orders", default=dict, partitions=4).tumbling(10.0, expires=3600.0)


@app.agent(raw_log)  # type: ignore[untyped-decorator]
async def monitor(lines: faust.StreamT[bytes]) -> None:
    """Parse, forward, count."""
    async for event in lines.events():
        if event.headers.get("type") == b"business":
            await count_order(event)
            continue
        match = LINE.match(event.value)
        if match is None or event.headers.get("type") != b"access_log":
            continue
        client, _, user, stamp, request, status, n_bytes, referer, agent = match.groups(b"")
        method, _, rest = request.decode().partition(" ")
        path, _, protocol = rest.partition(" ")
        key = event.headers.get("service", b"").decode()
        await forwarded.send(
            key=event.key,
            value={
                "ts": _millis(stamp),
                "client": client.decode(),
                "user": user.decode(),
                "method": method,
                "path": path,
                "protocol": protocol,
                "status": int(status),
                "bytes": int(n_bytes),
                "referer": referer.decode(),
                "user_agent": agent.decode(),
            },
        )
        requests[key] += 1
        bytes_sent[key] += int(n_bytes)


async def count_order(event: faust.EventT[bytes]) -> None:
    """Parse, forward, count."""
    order = json.loads(event.value)
    status, amount = order["status"], float(order["amount"])
    await forwarded.send(
        key=event.key,
        value={"ts": order["ts"], "order_id": order["order_id"], "status": status, "amount": amount},
    )
    window = orders[status].current()
    histogram, bucket = window.get("histogram", {}), str(int(math.log(max(amount, 1.0), 1.1)))
    histogram[bucket] = histogram.get(bucket, 0) + 1
    orders[status] = {
        "count": window.get("count", 0) + 1,
        "revenue": window.get("revenue", 0.0) + amount,
        "largest": max(window.get("largest", 0.0), amount),
        "histogram": histogram,
    }


_stamps: dict[bytes, int] = {}


def _millis(stamp: bytes) -> int:
    known = _stamps.get(stamp)
    if known is None:
        _stamps.clear()
        known = _stamps[stamp] = int(time.mktime(time.strptime(stamp[:20].decode(), "%d/%b/%Y:%H:%M:%S")) * 1000)
    return known
