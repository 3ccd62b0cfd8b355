"""From the text of one environment variable to its value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from config.addresses import HistoryLocation, broker_list, history_location
from config.wording import listed

T = TypeVar("T")

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_APP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """Reads one kind of value. `allowed` tells people what is accepted; `read` raises ValueError with the reason."""

    allowed: str
    read: Callable[[str], T]


def whole_number(minimum: int, maximum: int) -> Reader[int]:
    """Digits only: no suffixes, separators or fractions."""

    def read(text: str) -> int:
        if not _WHOLE_NUMBER.fullmatch(text):
            raise ValueError("is not a whole number")
        if not minimum <= int(text) <= maximum:
            raise ValueError("is out of range")
        return int(text)

    return Reader(f"a whole number from {minimum} to {maximum}", read)


def one_of(*words: str, later: tuple[str, ...] = ()) -> Reader[str]:
    """One of `words`; those of `later` are known by name but not built yet."""

    def read(text: str) -> str:
        if text in later:
            raise ValueError("is not available in this version")
        if text not in words:
            raise ValueError("is unknown")
        return text

    return Reader(listed(words), read)


def subset_of(*words: str) -> Reader[tuple[str, ...]]:
    """At least one of `words`, separated by commas; comes out in the order of `words`."""

    def read(text: str) -> tuple[str, ...]:
        given = [word.strip() for word in text.split(",")]
        for word in given:
            if word not in words:
                raise ValueError(f"{word!r} is unknown" if word else "has an empty word")
        return tuple(word for word in words if word in given)

    return Reader(f"any of {', '.join(words)}, separated by commas", read)


def _app_id(text: str) -> str:
    if not _APP_ID.fullmatch(text):
        raise ValueError("cannot be part of the name of a topic or a consumer group")
    return text


# 200 of Kafka's 249 characters for a topic leave room for "-monitor-changelog" and what comes later.
app_id: Reader[str] = Reader("1 to 200 of A-Z a-z 0-9 . _ -, the first a letter or a digit", _app_id)

brokers: Reader[str] = Reader("kafka://host:port, several separated by ';'", broker_list)

history: Reader[HistoryLocation] = Reader(
    "file://./folder, file:///folder, webhdfs://user@host:port/folder (several host:port separated by ';') "
    "or webhdfss:// over TLS",
    history_location,
)

path: Reader[Path] = Reader("a path", Path)
