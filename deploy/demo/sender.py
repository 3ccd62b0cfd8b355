"""Posts events to Sluice and does not let go of any before it is acknowledged."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from deploy.demo.errors import NothingListens, NotSluice
from deploy.demo.event import LogEvent
from deploy.demo.posts import Post, posts_for

POST_TIMEOUT_S = 30.0
MAX_EVENTS_A_POST = 500
MAX_WAITING = 20_000  # of one instance; beyond it no more traffic is made up
LONGEST_RETRY_S = 10.0


@dataclass(slots=True)
class Tally:
    """Events of all instances. At the end acknowledged + refused == sent, unless the demo was given up."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0  # answered with anything but 200 and 503: kept by nobody
    retries: int = 0  # posts


class Sender:
    """Posts the events of one instance, one request at a time, so that the lines of a log stay in order.

    At least once: a post whose answer was lost is sent again. `say` is told of outages, once each.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        service: str,
        host: str,
        tally: Tally,
        say: Callable[[str], None],
    ) -> None:
        self._session = session
        self._url = f"{url}/logCollect2"
        self._service = service
        self._host = host
        self._tally = tally
        self._say = say
        self._waiting: list[LogEvent] = []
        self._wake = asyncio.Event()
        self._closing = False
        self._outage = False

    @property
    def full(self) -> bool:
        """Whether so much waits already that no more should be made."""
        return len(self._waiting) >= MAX_WAITING

    def put(self, events: Sequence[LogEvent]) -> None:
        """Hand over events to be posted; never blocks."""
        self._waiting.extend(events)
        self._tally.sent += len(events)
        self._wake.set()

    def close(self) -> None:
        """No more events will come; `run` ends when all are acknowledged."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Post until closed and done. Cancelled, it leaves what is not acknowledged."""
        while self._waiting or not self._closing:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                continue
            events = self._waiting[:MAX_EVENTS_A_POST]
            del self._waiting[: len(events)]
            for post in posts_for(events, self._service, self._host):
                await self._deliver(post)

    async def _deliver(self, post: Post) -> None:
        pause_s = 0.5
        while True:
            try:
                async with self._session.post(
                    f"{self._url}?{post.query}" if post.query else self._url,
                    data=post.body,
                    headers={"Content-Type": post.content_type},
                ) as answer:
                    said = (await answer.text(errors="replace"))[:200].strip()
                    status, retry_after = answer.status, answer.headers.get("Retry-After", "")
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                self._tell_outage(f"no answer ({type(error).__name__}), sending again until there is one")
            else:
                if status == 200:
                    self._tally.acknowledged += post.n_events
                    if self._outage:
                        self._say(f"{self._host}: acknowledged again")
                        self._outage = False
                    return
                if status != 503:
                    self._tally.refused += post.n_events
                    self._say(f"{self._host}: refused with {status}: {said}")
                    return
                self._tell_outage(f"503, sending again as told: {said}")
                pause_s = min(float(retry_after), LONGEST_RETRY_S) if retry_after.isdigit() else pause_s
            self._tally.retries += 1
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_RETRY_S)

    def _tell_outage(self, what: str) -> None:
        if not self._outage:
            self._say(f"{self._host}: {what}")
            self._outage = True


async def check(session: aiohttp.ClientSession, url: str) -> str | None:
    """What Sluice's `/ready` finds missing, None when it is ready. Raises NothingListens, NotSluice."""
    try:
        async with session.get(f"{url}/ready") as answer:
            said = await answer.text(errors="replace")
            if answer.status not in (200, 503):
                raise NotSluice(f"Something answers at {url}, but not as Sluice does: {answer.status} for /ready")
            return None if answer.status == 200 else _reasons(said)
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise NotSluice(f"{url} is no address; it should look like http://127.0.0.1:6066") from None
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        raise NothingListens(
            f"Sluice does not answer at {url} ({type(error).__name__}). Start it in another terminal: make run\n"
            "Is it somewhere else? make demo WEB_PORT=<port>, or: python -m deploy.demo --url http://<host>:<port>"
        ) from None


def _reasons(said: str) -> str:
    try:
        return "; ".join(json.loads(said)["reasons"])
    except (ValueError, TypeError, KeyError):
        return said[:200]
