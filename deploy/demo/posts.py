"""Events as the bodies of HTTP requests: each kind of log in the format that suits it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from deploy.demo.event import ACCESS_LOG, LogEvent


class Post(NamedTuple):
    """One POST to /logCollect2."""

    query: str
    content_type: str
    body: bytes
    n_events: int


def posts_for(events: Iterable[LogEvent], service: str, host: str) -> Iterator[Post]:
    """The posts that carry the events of one instance, in order within each log.

    Access lines go as plain lines with their headers in the query, all else in Flume's JSON: there a stack trace is one
    event although it has many lines.
    """
    lines: list[str] = []
    objects: list[dict[str, object]] = []
    for event in events:
        if event.type == ACCESS_LOG:
            lines.append(event.text)
            continue
        headers = {"type": event.type, "service": service, "host": host, "timestamp": str(int(event.at_s * 1000))}
        if event.logger is not None:
            headers["logger"] = event.logger
        objects.append({"headers": headers, "body": event.text})
    if lines:
        query = urlencode({"type": ACCESS_LOG, "service": service, "host": host})
        yield Post(query, "text/plain; charset=utf-8", "\n".join(lines).encode(), len(lines))
    if objects:
        yield Post("", "application/json", json.dumps(objects).encode(), len(objects))
