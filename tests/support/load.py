"""Load as real clients make it: events with ids over HTTP, sent again until they are acknowledged."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

import requests

PATHS = ("/", "/item", "/cart", "/checkout", "/img/logo.png", "/search")
STATUSES = (200, 200, 200, 200, 304, 404, 500)


class Sent(NamedTuple):
    """An event as it was sent."""

    id: str
    headers: dict[str, str]
    body: str


class Load:
    """Posts events from several threads to several workers until stopped.

    Every event has an id of its own in its body. A post that is not answered 200 is sent again, to the next worker, as
    a real client would; so an event may arrive twice, but an acknowledged one must have arrived. Every tenth event is a
    line that nobody monitors, every fiftieth is malformed.
    """

    def __init__(self, urls: Sequence[str], *, threads: int = 2, batch: int = 20, pause_s: float = 0.0, seed: int = 1):
        self._urls = list(urls)
        self._batch = batch
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.acknowledged: dict[str, Sent] = {}
        self.attempted: dict[str, Sent] = {}
        self.refused = 0
        self._threads = [
            threading.Thread(target=self._run, args=(number, random.Random(seed * 1000 + number)), daemon=True)
            for number in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Send no new events; what is being sent is sent until it is acknowledged or ten seconds have passed."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive(), "a client did not end"

    def _run(self, number: int, rng: random.Random) -> None:
        count = 0
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                events = []
                for _ in range(self._batch):
                    events.append(event(f"{number}-{count}", count, rng))
                    count += 1
                with self._lock:
                    self.attempted.update({each.id: each for each in events})
                self._deliver(session, rng, events)
                if self._pause_s:
                    self._stop.wait(self._pause_s)

    def _deliver(self, session: requests.Session, rng: random.Random, events: Sequence[Sent]) -> None:
        body = json.dumps([{"headers": each.headers, "body": each.body} for each in events])
        give_up_at: float | None = None
        target = rng.randrange(len(self._urls))
        while True:
            try:
                answer = session.post(
                    f"{self._urls[target]}/logCollect2",
                    data=body,
                    headers={"Content-Type": "application/json"},
                    timeout=30,
                )
                status = answer.status_code
            except requests.RequestException:
                status = 0
            if status == 200:
                with self._lock:
                    self.acknowledged.update({each.id: each for each in events})
                return
            assert status in (0, 503), f"an event of ours was answered {status}: {answer.text}"
            with self._lock:
                self.refused += 1
            if self._stop.is_set():
                give_up_at = give_up_at or time.monotonic() + 10
                if time.monotonic() > give_up_at:
                    return
            target = (target + 1) % len(self._urls)
            time.sleep(0.1)


def event(id: str, number: int, rng: random.Random) -> Sent:
    """An event: an access line, now and then something else or something broken."""
    headers = {"type": "access_log", "host": f"web-{number % 7}", "service": f"shop-{number % 3}"}
    if number % 50 == 49:
        return Sent(id, headers, f"this is no access line id={id}")
    if number % 10 == 9:
        return Sent(id, {**headers, "type": "catalina"}, f"something happened\n\tat somewhere id={id}")
    return Sent(id, headers, access_line(id, rng, time.time()))


def access_line(id: str, rng: random.Random, at_s: float) -> str:
    """A line of pattern `common`; the id stands in the query."""
    at = datetime.fromtimestamp(at_s, timezone.utc).strftime("%d/%b/%Y:%H:%M:%S +0000")
    path, status, size = rng.choice(PATHS), rng.choice(STATUSES), rng.randrange(5000)
    return f'10.0.0.{rng.randrange(256)} - - [{at}] "GET {path}?id={id} HTTP/1.1" {status} {size}'


def id_of(body: bytes) -> str:
    """The id in a body."""
    tail = body.decode().partition("id=")[2]
    return tail.split()[0].strip('"') if tail else ""


def posted(url: str, events: Sequence[dict[str, Any]]) -> int:
    """Post once; the status."""
    with requests.Session() as session:
        session.trust_env = False
        return session.post(
            f"{url}/logCollect2",
            data=json.dumps(list(events)),
            headers={"Content-Type": "application/json"},
            timeout=30,
        ).status_code
