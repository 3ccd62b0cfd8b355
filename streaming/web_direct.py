"""The short way of a request: one that came whole, in a form that is known, is answered without aiohttp's machinery.

aiohttp takes 30 µs a request for its parser's objects, two tasks and four turns of the loop; a sender of single events
pays that for each of them. Here its head is looked up as it is, byte by byte: senders repeat theirs. Whatever is not
exactly of the plain form (other headers, a body in pieces or encoded, a query, two requests at once) is aiohttp's, and
so is, from then on, all else of that connection: what aiohttp has been given, only aiohttp knows.

Private parts of aiohttp used here and in web_guard.py are held by tests/unit/streaming/test_web_direct.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NamedTuple

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from streaming.web_guard import Guard, GuardedHandler

Answer = Callable[["str | None", bytes], Awaitable["web.Response | None"]]
"""Answers a request by its Content-Type and body; None is 200 without a body. Raises nothing but CancelledError."""

# Of a head and of a body; larger ones are aiohttp's.
HEAD_BYTES = 1_024
BODY_BYTES = 65_536
# Heads that are remembered, of a kilobyte each at most.
REMEMBERED = 4_096
# What a client may send ahead of its answer before it is no longer read from.
AHEAD_BYTES = 65_536

_HEADER = re.compile(r"([A-Za-z-]+):[ ]*([\x20-\x7e]*)")
_LENGTH = re.compile(r"[0-9]{1,5}")
# None of them changes what a request says, but the last three, which are read.
_PLAIN = {
    *("host", "user-agent", "accept", "accept-encoding", "accept-language", "cache-control", "pragma"),
    *("connection", "content-type", "content-length"),
}


class Form(NamedTuple):
    """What a head says."""

    answer: Answer
    content_type: str | None
    length: int  # of the body, in bytes


class Direct:
    """The addresses that are answered directly, and the heads that were seen."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._forms: dict[bytes, Form] = {}

    def serve(self, path: str, answer: Answer) -> None:
        """Answer POST requests to this path."""
        self._answers[path] = answer

    def find(self, data: bytes) -> tuple[Form, bytes] | None:
        """The form and the body of a request, if that is what the data is: all of one, and of the plain form."""
        end = data.find(b"\r\n\r\n", 0, HEAD_BYTES)
        if end < 0:
            return None
        head = data[:end]
        form = self._forms.get(head) or self._read(head)
        if form is None or len(data) - end - 4 != form.length:
            return None
        return form, data[end + 4 :]

    def _read(self, head: bytes) -> Form | None:
        try:
            request, *lines = head.decode("ascii").split("\r\n")
        except UnicodeDecodeError:
            return None
        method, _, target = request.partition(" ")
        answer = self._answers.get(target.removesuffix(" HTTP/1.1"))
        if answer is None or method != "POST" or not target.endswith(" HTTP/1.1"):
            return None
        headers: dict[str, str] = {}
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None or header[1].lower() not in _PLAIN or header[1].lower() in headers:
                return None
            headers[header[1].lower()] = header[2].rstrip(" ")
        length = headers.get("content-length", "")
        if (
            not headers.get("host")
            or headers.get("connection", "keep-alive").lower() != "keep-alive"
            or not _LENGTH.fullmatch(length)
            or int(length) > BODY_BYTES
        ):
            return None
        if len(self._forms) >= REMEMBERED:
            self._forms.clear()
        form = self._forms[head] = Form(answer, headers.get("content-type"), int(length))
        return form


class DirectHandler(GuardedHandler):
    """One connection that is answered directly for as long as its requests are plain."""

    __slots__ = ("_ahead", "_answering", "_closing", "_direct", "_left_to_aiohttp")

    def __init__(self, direct: Direct, guard: Guard, manager: web.Server, **kwargs: Any) -> None:
        super().__init__(guard, manager, **kwargs)
        self._direct = direct
        self._left_to_aiohttp = False
        self._answering: asyncio.Task[None] | None = None
        self._ahead = bytearray()  # what came while a request was being answered
        self._closing = False

    @property
    def idle(self) -> bool:
        """Whether it waits for a request."""
        return self._answering is None and super().idle

    def data_received(self, data: bytes) -> None:
        """Answer it directly, or let aiohttp do."""
        if self._answering is not None:
            if not self._force_close and not self._closing:
                self._hold_ahead(data)
            return
        if not self._left_to_aiohttp and not self._force_close and not self._close:
            found = self._direct.find(data)
            if found is not None:
                self._request_count += 1
                self.requested_at = self._guard.clock()
                self._guard.requested(self)
                self._answering = self._loop.create_task(self._answer(*found))
                return
            self._left_to_aiohttp = True
        super().data_received(data)

    def close(self) -> None:
        """Close as soon as nothing is being answered any more."""
        if self._answering is None:
            super().close()
        else:
            self._closing = True

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Wait for the answer that is under way, then close."""
        if self._answering is not None:
            await asyncio.wait({self._answering}, timeout=timeout)
        await super().shutdown(timeout)

    async def _answer(self, form: Form, body: bytes) -> None:
        response = await form.answer(form.content_type, body)
        if self.transport is not None:
            self.transport.write(_plain_ok() if response is None else rendered(response))
            if self.writing_paused:  # the client does not take its answers: it has to, before it is read from again
                with suppress(ConnectionError):
                    await self._drain_helper()
        self._answering = None
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._closing:
            super().close()
        elif self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            self.let_go()
            if self._buffer_paused:
                self._resume_reading_for_buffer()
            self.data_received(data)

    def _hold_ahead(self, data: bytes) -> None:
        self._ahead += data
        self._hold(len(data), "pipelined")
        if len(self._ahead) > AHEAD_BYTES and not self._buffer_paused:
            self._pause_reading_for_buffer()


def rendered(response: web.Response) -> bytes:
    """A response with a body that is there, as aiohttp sends it."""
    body = response.body or b""
    assert isinstance(body, bytes)
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"Content-Length: {len(body)}", f"Date: {rfc822_formatted_time()}", f"Server: {SERVER_SOFTWARE}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


_ok = ("", b"")


def _plain_ok() -> bytes:
    global _ok
    now = rfc822_formatted_time()  # aiohttp makes one a second
    if _ok[0] != now:
        _ok = (now, rendered(web.Response()))
    return _ok[1]
