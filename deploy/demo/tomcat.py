"""One Tomcat instance: the requests it gets, and what it writes about them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import NamedTuple

from deploy.demo.clock_text import access_log_time
from deploy.demo.event import ACCESS_LOG, BUSINESS, CATALINA, LogEvent
from deploy.demo.traces import failure, remark
from deploy.demo.weather import Incident

# Shares of all requests, each told from a known failure so that the dead letters show what to expect.
_TORN = 0.002  # a line that was cut, as by a full disk: goes to the dead letters
_UNREADABLE = 0.002  # a request that Tomcat could not read: a line of its own kind, which parses
_REMARK = 0.01
_OWN_FAILURE = 0.003  # fails without any incident


class Page(NamedTuple):
    """One address of an application. Latency is log-normal around `median_ms`."""

    weight: int
    method: str
    path: str
    median_ms: float
    n_bytes: int
    order: bool = False


PAGES = {
    "shop": (
        Page(20, "GET", "/shop/", 8, 14_200),
        Page(30, "GET", "/shop/products/{n}", 22, 9_300),
        Page(14, "GET", "/shop/search?q={word}", 65, 21_000),
        Page(18, "GET", "/shop/static/app.js", 1.2, 183_000),
        Page(8, "POST", "/shop/cart", 30, 410),
        Page(6, "POST", "/shop/checkout", 140, 880, order=True),
        Page(4, "GET", "/shop/favicon.ico", 0.8, 1_150),
    ),
    "account": (
        Page(16, "GET", "/account/profile", 18, 3_100),
        Page(10, "POST", "/account/login", 95, 240),
        Page(6, "POST", "/account/logout", 9, 0),
        Page(8, "GET", "/account/orders?page={n}", 48, 12_400),
        Page(3, "GET", "/account/wp-login.php", 2, 1_080),
    ),
}
_WORDS = ("boots", "rain+coat", "caf%C3%A9", "tent", "42%22+bike", "lamp")
_USERS = ("-", "-", "-", "anna", "b.meyer", "chen")
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5",
    "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0",
    'ShopApp/7.2 (Android 15; \\"tablet\\")',  # Tomcat escapes quotes
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
    "curl/8.9.1",
)
_REFERERS = ("-", "-", "https://shop.example/shop/", "https://www.google.com/", "https://news.example/deals?id=7")
_OWN_EXCEPTION = "java.lang.IllegalStateException: cart was changed by another request"
_OWN_CAUSE = "java.util.ConcurrentModificationException"


class Tomcat:
    """One instance of one service on one host. All randomness is from `rng`: same seed, same logs."""

    def __init__(self, service: str, host: str, rng: random.Random) -> None:
        self.service = service
        self.host = host
        self._rng = rng
        self._pages = PAGES[service]
        self._weights = [page.weight for page in self._pages]
        self._orders = 0

    def request(self, at_s: float, incident: Incident | None = None) -> Iterator[LogEvent]:
        """What one request leaves in the logs: its access line, and sometimes an order or a stack trace."""
        rng = self._rng
        if rng.random() < _UNREADABLE:
            yield self._access(at_s, rng.choice(("-", "GET null HTTP/1.1")), 400, 1_850, 0.3)
            return
        suffering = incident if incident is not None and incident.service == self.service else None
        page = rng.choices(self._pages, self._weights)[0]
        path = page.path.format(n=rng.randint(1, 400), word=rng.choice(_WORDS))
        failing = suffering is not None and rng.random() < suffering.failing
        failed = failing or rng.random() < _OWN_FAILURE
        latency_ms = page.median_ms * rng.lognormvariate(0, 0.55) * (suffering.slower if suffering else 1)
        status, n_bytes = self._answer(page, failed)
        yield self._access(at_s, f"{page.method} {path} HTTP/1.1", status, n_bytes, latency_ms)
        if page.order:
            yield self._order(at_s, "failed" if failed else "paid" if rng.random() < 0.93 else "refused")
        if failed:
            exception, cause = (
                (suffering.exception, suffering.cause) if failing and suffering else (_OWN_EXCEPTION, _OWN_CAUSE)
            )
            yield LogEvent(CATALINA, failure(at_s, self.service, path, exception, cause, rng), at_s)
        elif rng.random() < _REMARK:
            yield LogEvent(CATALINA, remark(at_s, self.service, rng), at_s)

    def _answer(self, page: Page, failed: bool) -> tuple[int, int]:
        rng = self._rng
        if failed:
            return rng.choice((500, 500, 503)), 2_300
        if page.path.endswith(".php"):
            return 404, page.n_bytes
        if page.path.endswith("/login"):
            return (302, 0) if rng.random() < 0.85 else (401, page.n_bytes)
        if page.method == "GET" and rng.random() < 0.08:
            return 304, 0
        if "{n}" in page.path and rng.random() < 0.02:
            return 404, 1_100
        return 200, max(0, int(page.n_bytes * rng.uniform(0.7, 1.4)))

    def _access(self, at_s: float, request: str, status: int, n_bytes: int, latency_ms: float) -> LogEvent:
        rng = self._rng
        client = f"{rng.choice(('203.0.113', '198.51.100', '192.0.2'))}.{rng.randint(1, 254)}"
        line = (
            f'{client} - {rng.choice(_USERS)} {access_log_time(at_s)} "{request}" {status} {n_bytes or "-"} '
            f'"{rng.choice(_REFERERS)}" "{rng.choice(_AGENTS)}" {int(latency_ms * 1000)}'
        )
        return LogEvent(ACCESS_LOG, self._perhaps_torn(line), at_s)

    def _order(self, at_s: float, status: str) -> LogEvent:
        self._orders += 1
        order = {
            "ts": int(at_s * 1000),
            "order_id": f"{self.host}-{int(at_s)}-{self._orders}",
            "status": status,
            "amount": round(self._rng.lognormvariate(3.7, 0.8), 2),
            "currency": "EUR",
        }
        return LogEvent(BUSINESS, self._perhaps_torn(json.dumps(order)), at_s, logger="orders")

    def _perhaps_torn(self, line: str) -> str:
        # Cut before the request: a longer piece may pass for a line of pattern `common`.
        return line[: self._rng.randint(5, 30)] if self._rng.random() < _TORN else line
