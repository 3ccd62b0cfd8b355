"""Answers of the web as all views give them, and query strings as all views read them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from faust.web import Request, Response, View

from app.errors import AppError, BadRequest, BrokersUnavailable, TopicMissing

JSON = "application/json; charset=utf-8"

# Everything shown comes from logs, that is from strangers: no answer may be taken for something that it is not.
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answers; `headers` win over the security headers that every answer has."""

    body: bytes
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """`value` as JSON in UTF-8. Text from logs that UTF-8 has no place for (lone surrogates) is escaped as in JSON."""
    try:
        body = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, ValueError):
        body = json.dumps(value, ensure_ascii=True, allow_nan=False).encode()
    return Answer(body, JSON, status, headers or {})


def error_answer(exc: AppError) -> Answer:
    """An error as its status and one line: 400 for the client's, 503 for what will pass."""
    if isinstance(exc, BadRequest):
        return json_answer({"error": str(exc)}, 400)
    if isinstance(exc, BrokersUnavailable | TopicMissing):
        return json_answer({"error": str(exc)}, 503, {"Retry-After": str(RETRY_AFTER_S)})
    raise exc


def page(app: Any, path: str, name: str) -> Callable[[Callable[[Request], Awaitable[Answer]]], None]:
    """Register a function of the request as the view of `path` (GET and HEAD); AppErrors become their answers."""

    def register(answer_to: Callable[[Request], Awaitable[Answer]]) -> None:
        async def get(view: View, request: Request, **_: str) -> Response:
            try:
                answer = await answer_to(request)
            except AppError as exc:
                answer = error_answer(exc)
            headers = {**SECURITY_HEADERS, **answer.headers, "Content-Type": answer.content_type}
            return view.bytes(answer.body, status=answer.status, headers=headers)

        get.__name__ = name
        get.__doc__ = answer_to.__doc__
        app.page(path, name=name)(get)

    return register


class Query:
    """The query string of a request. Every method raises BadRequest with one line that names the parameter.

    An empty value is no value; of a parameter given twice the last counts.
    """

    def __init__(self, request: Any) -> None:
        self._given = {name: value for name, value in request.query.items() if value}

    def text(self, name: str) -> str | None:
        """As it is."""
        return self._given.get(name)

    def choice(self, name: str, words: Mapping[str, Any] | tuple[str, ...], default: str) -> str:
        """One of `words`."""
        value = self._given.get(name, default)
        if value not in words:
            raise BadRequest(f"{name}={_shown(value)}: must be one of {', '.join(words)}")
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self._given.get(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,18}", value, re.ASCII) or not low <= int(value) <= high:
            raise BadRequest(f"{name}={_shown(value)}: must be a whole number from {low} to {high}")
        return int(value)

    def instant(self, name: str) -> float | None:
        """Epoch seconds."""
        value = self._given.get(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,9})?", value, re.ASCII):
            raise BadRequest(f"{name}={_shown(value)}: must be an instant in epoch seconds, such as 1767225600")
        return float(value)

    def span(self) -> tuple[int | None, int | None]:
        """`from` and `to` in whole epoch seconds, `to` rounded up; None where not given."""
        start, end = self.instant("from"), self.instant("to")
        if start is not None and end is not None and end < start:
            raise BadRequest(f"to={_shown(self._given['to'])}: must not be before from={_shown(self._given['from'])}")
        return None if start is None else math.floor(start), None if end is None else math.ceil(end)

    def step(self, window_s: int) -> int:
        """Seconds, a multiple of the window; the window where not given."""
        step_s = self.integer("step", window_s, 1, 10**9)
        if step_s % window_s:
            raise BadRequest(f"step={step_s}: must be a multiple of the window, {window_s} s")
        return step_s


def _shown(value: str) -> str:
    shown = value if value.isprintable() else ascii(value)[1:-1]
    return shown if len(shown) <= 60 else shown[:60] + "…"
