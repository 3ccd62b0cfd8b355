"""`POST /logCollect2` (also `/ingest`): events over HTTP, answered once they are as safe as the level promises."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from faust.web import View

from config.settings import Settings
from parsers.event import Event
from sources.base import Publish
from sources.errors import BadRequest, Overloaded, SourceError, TooLarge, Unavailable
from sources.http import Limits, decode
from sources.producer import GroupCommitProducer
from streaming.web_app import WebApp
from telemetry.flow import Flow

log = logging.getLogger(__name__)

PATHS = {"/logCollect2": "log_collect", "/ingest": "ingest"}

# Bodies above this are taken apart in a thread, one after the other: each MiB takes some 10 ms.
_SMALL_BODY_BYTES = 131_072
# A body has to keep coming: the longest silence, and the longest time in all. Its memory is held meanwhile.
_SILENCE_S = 30.0
_BODY_S = 300.0


def register(
    app: WebApp, producer: GroupCommitProducer, settings: Settings, flow: Flow, publish: Publish | None = None
) -> None:
    """Serve the ingest addresses on a Faust app. `flow` counts this source; a request that can't be read counts as one.

    Events go to `publish`, to the producer itself where none is given.

    The app's web server must not inflate bodies by itself: `streaming.web.Web`.
    """
    ingest = Ingest(producer, settings.max_body_bytes, flow, publish)

    class IngestView(View):
        """Hands every request to `Ingest` as it is: dispatch by method and Faust's sensors cost 10 µs a request."""

        def get_methods(self) -> set[str]:
            return {"*"}

        async def __call__(self, request: web.Request) -> web.Response:
            return await ingest.answer(request)

    for path, name in PATHS.items():
        app.page(path, name=name)(type(name, (IngestView,), {"__doc__": IngestView.__doc__}))
        app.direct.serve(path, ingest.answer_small)


class Ingest:
    """Answers ingest requests as the contract's table says, and nothing else: 200, 400, 405, 413, 415 or 503.

    Memory: bodies being read and events waiting for Kafka share the producer's budget, and one body at a time is taken
    apart. A request is answered when `publish` has taken it or refused it; a client that goes away in between changes
    nothing.
    """

    def __init__(
        self, producer: GroupCommitProducer, max_body_bytes: int, flow: Flow, publish: Publish | None = None
    ) -> None:
        self._publish = publish or producer
        self._budget = producer.budget
        self._limits = Limits(body_bytes=max_body_bytes, events=producer.max_events)
        self._flow = flow
        self._decoding = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingest")
        flow.state = "running"

    async def answer(self, request: web.Request) -> web.Response:
        """The answer to one request. Raises nothing but CancelledError."""
        if request.method != "POST":
            return web.Response(
                status=405, headers={"Allow": "POST"}, text=f"{request.method} is not for here, POST is\n"
            )
        return await self._answered(self._events(request)) or web.Response()

    async def answer_small(self, content_type: str | None, body: bytes) -> web.Response | None:
        """The answer to a POST with a small body, all there and not encoded, without a query; None is 200.

        Raises nothing but CancelledError.
        """
        return await self._answered(self._small(content_type, body))

    async def _answered(self, reading: Coroutine[Any, Any, Sequence[Event]]) -> web.Response | None:
        flow = self._flow
        n_events = 1  # until it is known how many they are
        try:
            events = await reading
            n_events = len(events)
            await self._publish.send(events)
        except SourceError as error:
            self._count_refused(error.reason, str(error), n_events)
            return _refusal(error)
        except ConnectionError:
            self._count_refused("disconnected", "the client went away while it sent its request", n_events)
            return web.Response(status=400)  # for nobody
        except asyncio.CancelledError:
            self._count_refused("cancelled", "the worker stopped before Kafka acknowledged", n_events)
            raise
        except Exception as error:
            log.exception("An ingest request failed for a reason that is Sluice's own fault.")
            self._count_refused("internal", f"{type(error).__name__}: {error}", n_events)
            return _refusal(Unavailable("internal", "an unexpected error, see the worker's log", retry_after_s=1))
        flow.received += n_events
        flow.accepted += n_events
        flow.sent += n_events
        flow.last_event_at_ms = int(time.time() * 1000)
        return None

    def _count_refused(self, reason: str, text: str, n_events: int) -> None:
        self._flow.received += n_events
        self._flow.reject(reason, n_events)
        self._flow.error(text)

    async def _small(self, content_type: str | None, body: bytes) -> Sequence[Event]:
        self._check_length(len(body))
        self._flow.received_bytes += len(body)
        return decode(content_type, None, "", body, self._limits)

    async def _events(self, request: web.Request) -> Sequence[Event]:
        headers = request.headers
        encoding = ",".join(headers.getall("Content-Encoding")) if "Content-Encoding" in headers else None
        content_type = headers.get("Content-Type")
        query = request.raw_path.partition("?")[2]
        content = request.content
        length = request.content_length
        if length is not None:
            self._check_length(length)
        if content.is_eof() and content.exception() is None:  # all there already, as small bodies are
            body = content.read_nowait()
            self._check_length(len(body))
            self._flow.received_bytes += len(body)
            if encoding is None and len(body) <= _SMALL_BODY_BYTES:
                return decode(content_type, None, query, body, self._limits)
            held = len(body)
            self._take(held)
        else:
            body = await self._read(content, length or 0)
            held = len(body)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._decoding, decode, content_type, encoding, query, body, self._limits)
        finally:
            self._budget.give(held)

    async def _read(self, content: Any, expected_bytes: int) -> bytes:
        """The body, its length taken from the budget; on any error nothing is.

        When memory runs out, one that has been arriving for long is cut off (`sources.budget`).
        """
        if not self._budget.has_room(expected_bytes):
            raise Overloaded(f"no memory for a body of {expected_bytes} bytes now")
        too_slow = Overloaded("memory is short, and the body has been arriving for too long")
        reading = self._budget.reading(lambda: content.set_exception(too_slow))
        body = bytearray()  # no list of the pieces: they may be of a byte each
        give_up_at = time.monotonic() + _BODY_S
        try:
            while True:
                chunk = await asyncio.wait_for(content.readany(), min(_SILENCE_S, give_up_at - time.monotonic()))
                if not chunk:
                    break
                self._flow.received_bytes += len(chunk)
                self._check_length(len(body) + len(chunk))
                if not reading.take(len(chunk)):
                    raise Overloaded(f"{self._budget.used_bytes} bytes are waiting for Kafka")
                body += chunk
            reading.complete()
            return bytes(body)
        except BaseException as error:
            reading.drop()
            if isinstance(error, asyncio.TimeoutError):
                raise BadRequest("slow_body", "the body did not arrive in time") from None
            if isinstance(error, (web.RequestPayloadError, HttpProcessingError)):
                raise BadRequest("bad_http", "the body is not framed as HTTP says") from None
            raise

    def _check_length(self, n_bytes: int) -> None:
        if n_bytes > self._limits.body_bytes:
            raise TooLarge("body_too_large", f"the body is larger than {self._limits.body_bytes} bytes")

    def _take(self, n_bytes: int) -> None:
        if not self._budget.take(n_bytes):
            raise Overloaded(f"{self._budget.used_bytes} bytes are waiting for Kafka")


def _refusal(error: SourceError) -> web.Response:
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Unavailable) else None
    return web.Response(status=error.status, headers=headers, text=f"{' '.join(str(error).split())}\n")
