"""Requests to the shop in the real Tomcat, each with what it must leave in the logs, known without reading them."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from deploy.cluster.tomcat import Tomcat

HTTP_1_1 = "HTTP/1.1"
UNREADABLE = "null"  # what Tomcat 10.1 writes in place of a target that it refused to read
STATUSES = ("paid", "open", "refunded", "", "€uro")


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as the access logs must tell it: from the bytes that were sent, and from the answer."""

    method: str | None
    path: str | None
    query: str | None
    protocol: str | None
    status: int
    user: str | None = None
    referer: str | None = None
    user_agent: str | None = None
    size: int = 0  # of the answer's body, bytes; known when the answer has come
    least_ms: int = 0  # how long it must have taken, at least
    began_s: float = 0.0  # by the client's clock, epoch seconds
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Order:
    """One line that the shop must write to its business log."""

    order_id: str
    status: str
    amount: float | None  # None: the shop writes NaN, which is no JSON
    began_s: float = 0.0
    ended_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Visit:
    """Bytes for one connection, and what they must leave in the logs."""

    request: bytes
    entries: tuple[Entry, ...]
    order: Order | None = None
    error_logged: bool = False  # error.jsp was called: a stack trace in catalina's and in localhost's log


@dataclass(slots=True)
class Visited:
    """What all visits so far must have left in the logs."""

    entries: list[Entry] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    errors: int = 0

    def add(self, visit: Visit) -> None:
        self.entries += visit.entries
        self.orders += [visit.order] if visit.order else []
        self.errors += visit.error_logged


def pay(tomcat: Tomcat, visit: Visit) -> Visit:
    """Send it; the same visit with the sizes of the answers. Asserts that each answer has the status it must have."""
    began_s = time.time()
    answer = tomcat.send(visit.request)
    ended_s = time.time()
    entries = []
    for entry in visit.entries:
        status, size, answer = _split_answer(answer, entry.method)
        assert status == entry.status, (visit.request, status)
        entries.append(replace(entry, size=size, began_s=began_s, ended_s=ended_s))
    assert not answer, visit.request
    order = visit.order and replace(visit.order, began_s=began_s, ended_s=ended_s)
    return replace(visit, entries=tuple(entries), order=order)


def ordinary_visits(count: int, seed: int) -> Iterator[Visit]:
    """What customers do, in any order: every target has a number of its own, `visit=<n>` at the end of its query."""
    rng = random.Random(seed)
    for n in range(count):
        kind = rng.choices(("home", "missing", "slow", "order", "redirect", "account", "error"), (8, 3, 8, 8, 2, 2, 1))
        headers = {"Referer": f"http://shop/{n}", "User-Agent": rng.choice(("curl/8.5", "Mozilla/5.0 (X11; Linux)"))}
        match kind[0]:
            case "home":
                yield _visit("GET", "/", f"visit={n}", 200, headers)
            case "missing":
                yield _visit("GET", f"/missing/{n % 3}", f"visit={n}", 404, headers)
            case "redirect":
                yield _visit("GET", "/redirect.jsp", f"visit={n}", 302, headers)
            case "error":
                yield replace(_visit("GET", "/error.jsp", f"visit={n}", 500, headers), error_logged=True)
            case "slow":
                ms = rng.choice((2, 5, 10, 20, 40, 80, 200, 400))
                yield _visit("GET", "/slow.jsp", f"ms={ms}&visit={n}", 200, headers, least_ms=ms)
            case "account":
                user = rng.choice(("alice", "Ann Lee"))
                yield _visit("GET", "/private/", f"visit={n}", 200, {**headers, **_basic(user)}, user=user)
            case "order":
                order = Order(f"A-{n}", rng.choice(STATUSES), rng.randrange(-400, 100_000) / 4)
                yield _ordering(order, f"visit={n}", headers)


def odd_visits() -> Iterator[Visit]:
    """What scanners, broken clients and attackers send, to be sent one after the other."""
    yield _visit("GET", "/private/", None, 401)
    yield _visit("GET", "/slow.jsp", "ms=abc", 500)
    yield _visit("HEAD", "/", None, 200)
    yield _visit("POST", "/slow.jsp", "ms=5", 200, {"Content-Length": "0"}, least_ms=5)
    yield _visit("OPTIONS", "*", None, 200)
    for method in ("FOO", "get", "M-SEARCH", "TRACE"):
        yield _visit(method, "/", None, 405)
    yield _visit("CONNECT", "example.org:443", None, 501)
    yield from _odd_headers()
    yield from _odd_targets()
    yield from _odd_protocols()
    yield from _bad_headers()
    yield from _odd_orders()


def _odd_headers() -> Iterator[Visit]:
    for agent in (
        'Mo"zi\\lla\t(x) \\" end\\',
        'spoof" 200 1 "-" "x',
        '" 500 99999 7',
        "<script>alert(1)</script>",
        "Gr\u00fc\u00dfe \u00c3\u00a9 \u0080",  # Tomcat takes a header's bytes for Latin-1
        "\U0001f600".encode().decode("latin-1"),
        r"\u0041 \n %D ???X???",
        "null",
        "- -",
        "x" * 3000,
    ):
        yield _visit("GET", "/", None, 200, {"User-Agent": agent})
    yield _visit("GET", "/", None, 200, {"Referer": 'http://x/"a b"?q=[1] - -', "User-Agent": "'"})
    yield _raw(b"GET / HTTP/1.1\r\nHost: s\r\nUser-Agent: a\r\nUser-Agent: b\r\nConnection: close\r\n\r\n",
               Entry("GET", "/", None, HTTP_1_1, 200, user_agent="a,b"))  # fmt: skip
    for absent in ("", "-"):
        yield _raw(f"GET / HTTP/1.1\r\nHost: s\r\nUser-Agent: {absent}\r\nConnection: close\r\n\r\n".encode(),
                   Entry("GET", "/", None, HTTP_1_1, 200))  # fmt: skip


def _odd_targets() -> Iterator[Visit]:
    for path, query, status in (
        ("/%C3%A9t%C3%A9/%20", "q=%22a%22", 404),
        ("/%22%20200%205%20HTTP/1.1", "%0A%0D", 404),
        ("/-", "-", 404),
        ("/", "a?b?c", 200),
        ("/", "", 200),
        ("/index.jsp;jsessionid=ABC", "x=1", 200),
        ("//x//y", None, 404),
        ("/shop/../../etc/passwd", None, 400),
        ("/a%00b", None, 400),
        ("/a%zz", None, 400),
        ("/a%ff", None, 400),
        ("/a%2fb", None, 400),
        ("/%3Cscript%3E", "x=../../%2e%2e/", 404),
        ("/" + "p" * 3000, None, 404),
        ("/", "q=" + "x" * 7000, 200),
    ):
        yield _visit("GET", path, query, status)
    for target in (
        b"/\xc3\xa9t\xc3\xa9?q=\xc3\xbc",
        b'/a"b',
        b'/?q="x"&y=\\z',
        b"/?q=a|b{c}",
        b"/a\x01b",
        b"/a\x00b",
        b"/\x1b[31m",
        b"/?q=" + b"x" * 9000,
    ):
        yield _raw(b"GET " + target + b" HTTP/1.1\r\nHost: s\r\n\r\n", Entry("GET", UNREADABLE, None, HTTP_1_1, 400))
    yield _raw(b"GET http://other/shop/?a=b HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n",
               Entry("GET", "/shop/", "a=b", HTTP_1_1, 400))  # fmt: skip
    yield _raw(b"GET /?n=1 HTTP/1.1\r\nHost: s\r\n\r\nGET /missing HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n",
               Entry("GET", "/", "n=1", HTTP_1_1, 200), Entry("GET", "/missing", None, HTTP_1_1, 404))  # fmt: skip


def _odd_protocols() -> Iterator[Visit]:
    yield _raw(b"GET /\r\n", Entry("GET", "/", None, None, 200))  # HTTP/0.9
    yield _raw(b"GET /?a=1\r\n\r\n", Entry("GET", "/", "a=1", None, 200))
    yield _raw(b"GET / HTTP/1.0\r\n\r\n", Entry("GET", "/", None, "HTTP/1.0", 200))
    yield _raw(b"GET / HTTP/7.5\r\nHost: s\r\n\r\n", Entry("GET", "/", None, "HTTP/7.5", 505))
    yield _raw(b"GET / FTP/1.1\r\nHost: s\r\n\r\n", Entry("GET", "/", None, None, 400))
    yield _raw(b"GET /a b c HTTP/1.1\r\nHost: s\r\n\r\n", Entry("GET", "/a", None, None, 400))
    for unreadable in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GE(T / HTTP/1.1\r\nHost: s\r\n\r\n"):
        yield _raw(unreadable, Entry(None, None, None, None, 400))


def _bad_headers() -> Iterator[Visit]:
    for headers, status in (
        (b"", 400),
        (b"Host: a\r\nHost: b\r\n", 400),
        (b"Host: [::\r\n", 400),
        (b"Host: s\r\nB@d header: x\r\n", 400),
        (b"Host: s\r\nUser-Agent: a\x01b\x1b[31m\r\n", 400),
        (b"Host: s\r\nContent-Length: x\r\n", 400),
        (b"Host: s\r\nTransfer-Encoding: nonsense\r\nConnection: close\r\n", 501),
    ):
        yield _raw(b"POST /?h HTTP/1.1\r\n" + headers + b"\r\n", Entry("POST", "/", "h", HTTP_1_1, status))


def _odd_orders() -> Iterator[Visit]:
    yield _ordering(Order('O"\\1', "paid", 12.5))
    yield _ordering(Order("<b>\né\U0001f600", "a\tb", -1000.0))
    yield _ordering(Order("huge", "paid", 1e15))
    yield _ordering(Order("nan", "paid", None))
    yield _visit("GET", "/order.jsp", "order_id=1&status=paid&amount=x", 500)


def _ordering(order: Order, more: str = "", headers: dict[str, str] | None = None) -> Visit:
    amount = "NaN" if order.amount is None else order.amount
    query = f"order_id={quote(order.order_id)}&status={quote(order.status)}&amount={amount}"
    return replace(_visit("GET", "/order.jsp", f"{query}&{more}" if more else query, 200, headers), order=order)


def _visit(
    method: str,
    path: str,
    query: str | None,
    status: int,
    headers: dict[str, str] | None = None,
    *,
    user: str | None = None,
    least_ms: int = 0,
) -> Visit:
    """A request that HTTP allows, closing its connection."""
    headers = {"Host": "shop", "Connection": "close", **(headers or {})}
    target = path if query is None else f"{path}?{query}"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    entry = Entry(
        method, path, query, HTTP_1_1, status, user, headers.get("Referer"), headers.get("User-Agent"),
        least_ms=least_ms,
    )  # fmt: skip
    return Visit("\r\n".join(lines).encode("latin-1"), (entry,))


def _raw(request: bytes, *entries: Entry) -> Visit:
    return Visit(request, entries)


def _basic(user: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:secret".encode()).decode()}


def _split_answer(answer: bytes, method: str | None) -> tuple[int, int, bytes]:
    """Status and body size of the first answer, and what follows it."""
    if not answer.startswith(b"HTTP/"):  # HTTP/0.9 is a body and nothing else
        return 200, len(answer), b""
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert "transfer-encoding" not in headers
    size = 0 if method == "HEAD" else int(headers.get("content-length", len(rest)))
    return int(first.split()[1]), size, rest[size:]
