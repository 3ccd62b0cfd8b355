"""Load as real clients make it: events with ids over HTTP, sent again until they are acknowledged."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode

import requests

from tests.support.events import Sent, access_line, binary_event, event, id_of

__all__ = ["Load", "Sent", "access_line", "event", "id_of", "posted"]

_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.1, 1.0
_LAST_TRIES_S = 10.0


class _Post(NamedTuple):
    """A request that carries events, sent again as it is."""

    path: str
    content_type: str
    body: bytes
    events: Sequence[Sent]


class Load:
    """Posts events from several threads to several workers until stopped.

    Every event has an id of its own in its body: see `events.event` for what there is. A client behaves as a real one
    would: it waits `timeout_s` for an answer, and a post that is not answered 200 (503, a reset, a timeout) is sent
    again, to the next worker, after Retry-After (a second at most, to keep the load up) or a backoff that doubles. So
    an event may arrive twice, but an acknowledged one must have arrived.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        threads: int = 2,
        batch: int = 20,
        pause_s: float = 0.0,
        seed: int = 1,
        timeout_s: float = 30.0,
    ) -> None:
        self._urls = list(urls)
        self._batch = batch
        self._pause_s = pause_s
        self._timeout_s = timeout_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self.acknowledged: dict[str, Sent] = {}
        self.attempted: dict[str, Sent] = {}
        self.refused = 0  # answered 503
        self.unanswered = 0  # reset, refused by the kernel, or timed out
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
        """Send no new events; what is being sent is tried for ten seconds more. Again is harmless.

        Raises: AssertionError where an event of ours was refused for good.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * self._timeout_s + _LAST_TRIES_S + 30)
            assert not thread.is_alive(), "a client did not end"
        assert not self._problems, self._problems[:3]

    def _run(self, number: int, rng: random.Random) -> None:
        count = 0
        with requests.Session() as session:
            session.trust_env = False
            while not self._stop.is_set():
                first, count = count, count + self._batch
                events = [event(f"{number}-{each}", each, rng) for each in range(first, count)]
                self._deliver(session, rng, _as_json(events))
                if rng.random() < 0.1:
                    self._deliver(session, rng, _as_text(binary_event(f"{number}-{count}", count)))
                    count += 1
                if self._pause_s:
                    self._stop.wait(self._pause_s)

    def _deliver(self, session: requests.Session, rng: random.Random, post: _Post) -> None:
        with self._lock:
            self.attempted.update({each.id: each for each in post.events})
        give_up_at: float | None = None
        backoff_s = _FIRST_BACKOFF_S
        target = rng.randrange(len(self._urls))
        while True:
            status, pause_s = self._send(session, self._urls[target], post)
            if status == 200:
                with self._lock:
                    self.acknowledged.update({each.id: each for each in post.events})
                return
            if status not in (0, 503):
                return
            if self._stop.is_set():
                give_up_at = give_up_at or time.monotonic() + _LAST_TRIES_S
                if time.monotonic() > give_up_at:
                    return
            target = (target + 1) % len(self._urls)
            time.sleep(min(pause_s or backoff_s, _LONGEST_BACKOFF_S) * rng.uniform(0.5, 1.0))
            backoff_s *= 2

    def _send(self, session: requests.Session, url: str, post: _Post) -> tuple[int, float]:
        """The status (0: no answer) and Retry-After."""
        try:
            answer = session.post(
                url + post.path,
                data=post.body,
                headers={"Content-Type": post.content_type},
                timeout=self._timeout_s,
            )
        except requests.RequestException:
            with self._lock:
                self.unanswered += 1
            return 0, 0.0
        with self._lock:
            if answer.status_code == 503:
                self.refused += 1
            elif answer.status_code != 200:
                self._problems.append(f"events of ours were answered {answer.status_code}: {answer.text[:500]}")
        return answer.status_code, float(answer.headers.get("Retry-After", 0))


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


def _as_json(events: Sequence[Sent]) -> _Post:
    body = json.dumps([{"headers": each.headers, "body": each.body} for each in events]).encode()
    return _Post("/logCollect2", "application/json", body, events)


def _as_text(event: Sent) -> _Post:
    return _Post(f"/ingest?{urlencode(event.headers)}", "text/plain", event.raw, [event])
