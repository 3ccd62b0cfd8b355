"""Where a record comes from and what it says it is: its Kafka headers, read once for all records that share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from tables.keys import short

T = TypeVar("T")
Headers = tuple[tuple[str, "bytes | None"], ...]

_FROM_MS = 946_684_800_000  # 2000-01-01: a header `timestamp` before it is not one
_DAY_MS = 86_400_000
_REMEMBERED = 4096  # distinct headers
_REMEMBERED_BYTES = 2048  # of one record's headers; larger ones are read each time


class Origin:
    """The headers that routing and monitoring look at. Of a name that comes twice, the last one counts."""

    __slots__ = ("_timestamp_ms", "header_bytes", "host", "logger", "service", "source", "type")

    def __init__(self, headers: Headers) -> None:
        texts = {name: (value or b"").decode("utf-8", "replace") for name, value in headers if name in _NAMES}
        self.type = texts.get("type")
        self.logger = texts.get("logger")
        self.host = texts.get("host")
        self.service = texts.get("service", self.host)
        self.source = (_short(self.service), _short(self.host))  # as a key of windows
        self.header_bytes = sum(len(name) + len(value or b"") for name, value in headers)
        self._timestamp_ms = _epoch_ms(texts.get("timestamp", ""))

    def time_ms(self, arrival_ms: int) -> int:
        """The record's time: its header `timestamp` where that is one, else its arrival."""
        if self._timestamp_ms is not None and self._timestamp_ms <= arrival_ms + _DAY_MS:
            return self._timestamp_ms
        return arrival_ms


class Origins(Generic[T]):
    """Origins by headers, each with what its owner wants to know of it. Most records share theirs with thousands of
    others; memory is bounded.
    """

    def __init__(self, known_of: Callable[[Origin], T]) -> None:
        self._known_of = known_of
        self.known: dict[Headers, tuple[Origin, T]] = {}  # to look into before asking `of`

    def of(self, headers: Headers) -> tuple[Origin, T]:
        """The origin of a record with these headers, and what is known of it."""
        found = self.known.get(headers)
        if found is None:
            origin = Origin(headers)
            found = origin, self._known_of(origin)
            if origin.header_bytes <= _REMEMBERED_BYTES:
                if len(self.known) >= _REMEMBERED:
                    self.known.clear()
                self.known[headers] = found
        return found


_NAMES = frozenset(("type", "logger", "host", "service", "timestamp"))


def _short(text: str | None) -> str | None:
    return None if text is None else short(text)


def _epoch_ms(text: str) -> int | None:
    if len(text) <= 13 and text.isascii() and text.isdigit():
        value = int(text)
        return value if value >= _FROM_MS else None
    return None
