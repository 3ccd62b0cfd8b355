"""The primary Faust application of a worker: the web and the shell, no consumer group of its own.

The consumer groups are applications of their own (`streaming.app.BatchApp`), started once Kafka answers: so the web is
up, and says what is missing, while there is no broker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import faust
from faust.app.base import BootStrategy
from mode.services import ServiceT
from yarl import URL

from streaming.web import Web
from streaming.web_direct import Direct
from streaming.worker import Worker

WEB_HOST = "127.0.0.1"  # open to others only where `--web-host` says so
WEB_PORT = 6066


class WebBoot(BootStrategy):
    """Starts the web first and what it shows after it; stops in the opposite order."""

    enable_kafka = False
    app: WebApp

    def server(self) -> Iterable[ServiceT]:
        """Return the services of the application in start order."""
        return chain(self.sensors(), self.web_server(), self.app.services)


class WebApp(faust.App):
    """The application that `faust -A app` finds. `services` start after the web, in order."""

    mundane_level = "debug"

    BootStrategy = WebBoot

    def __init__(self, app_id: str, *, broker: Sequence[str], **options: Any) -> None:
        self.services: list[ServiceT] = []
        self.unfinished: Callable[[], Sequence[str]] = tuple  # partitions that a stop has not handed over yet
        self.direct = Direct()  # requests that are answered without aiohttp's machinery
        self.web_notes: dict[str, Any] = {}  # the web's connections: see streaming.web.Web
        super().__init__(
            app_id,
            broker=[URL(f"kafka://{address}") for address in broker],
            autodiscover=False,
            store="memory://",
            cache="memory://",
            web_host=WEB_HOST,
            web_port=WEB_PORT,
            topic_disable_leader=True,
            topic_allow_declare=False,
            Worker=Worker,
            **options,
        )

    async def on_first_start(self) -> None:
        """Make none of Faust's data directories: the state is elsewhere."""

    def _new_web(self) -> Web:
        return Web(self, notes=self.web_notes, direct=self.direct)
