"""The events that the load is made of: each with an id in its body, of every kind that Sluice treats differently."""

from __future__ import annotations

import json
import random
import re
import time
from datetime import datetime, timezone
from typing import NamedTuple

PATHS = ("/", "/item", "/cart", "/checkout", "/img/logo.png", "/search")
STATUSES = (200, 200, 200, 200, 304, 404, 500)
ORDER_STATUSES = ("paid", "paid", "paid", "refused", "refunded")

_ID = re.compile(rb'id=([^\s"&]+)')


class Sent(NamedTuple):
    """An event as it was sent."""

    id: str
    headers: dict[str, str]
    body: str  # bytes that are not UTF-8 stand in it as surrogates, see `raw`

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        return self.body.encode("utf-8", "surrogateescape")


def event(id: str, number: int, rng: random.Random) -> Sent:
    """An access line mostly. Of every fifty four are of a type that nobody monitors, three are orders, one is of a
    logger that no route names, one a malformed access line and one a malformed order.
    """
    headers = {"type": "access_log", "host": f"web-{number % 7}", "service": f"shop-{number % 3}"}
    at = number % 50
    if at == 49:
        return Sent(id, headers, f"this is no access line id={id}")
    if at == 48:
        return Sent(id, {**headers, "type": "business", "logger": "orders"}, f"this is no order id={id}")
    if at == 47:
        return Sent(id, {**headers, "type": "business", "logger": "audit"}, f"nobody listens id={id}")
    if at in (15, 25, 35):
        return Sent(id, {**headers, "type": "business", "logger": "orders"}, order(id, rng, time.time()))
    if at % 10 == 9:
        return Sent(id, {**headers, "type": "catalina"}, f"something happened\n\tat somewhere id={id}")
    return Sent(id, headers, access_line(id, rng, time.time()))


def binary_event(id: str, number: int) -> Sent:
    """A line that is not UTF-8, with what terminals and web pages would choke on; goes over `text/plain` only."""
    headers = {"type": "bin/ary", "host": f"web-{number % 7}"}
    body = b"\xff\xfe\x00\x1b[2J<script>../../\xed\xa0\x80 id=" + id.encode()
    return Sent(id, headers, body.decode("utf-8", "surrogateescape"))


def access_line(id: str, rng: random.Random, at_s: float) -> str:
    """A line of pattern `common`; the id stands in the query."""
    at = datetime.fromtimestamp(at_s, timezone.utc).strftime("%d/%b/%Y:%H:%M:%S +0000")
    path, status, size = rng.choice(PATHS), rng.choice(STATUSES), rng.randrange(5000)
    return f'10.0.0.{rng.randrange(256)} - - [{at}] "GET {path}?id={id} HTTP/1.1" {status} {size}'


def order(id: str, rng: random.Random, at_s: float) -> str:
    """An order as the shipped route reads it. Amounts are quarters, so that sums of floats are exact."""
    return json.dumps(
        {
            "ts": int(at_s * 1000),
            "order_id": f"id={id}",
            "status": rng.choice(ORDER_STATUSES),
            "amount": rng.randrange(1, 4000) / 4,
        }
    )


def id_of(body: bytes) -> str:
    """The id in a body; empty where there is none."""
    found = _ID.search(body)
    return found[1].decode("utf-8", "replace") if found else ""
