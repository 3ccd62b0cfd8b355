"""Dead letters as a person reads them: newest first, bodies cut to a length that can be shown."""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka import ConsumerRecord, TopicPartition

from app.brokers import Brokers
from app.reading import committed_ends, read

TOPIC = "dead-letter"
BODY_MAX_BYTES = 8192  # of a body that may be 16 MiB; the whole of it is in the topic
HEADER_MAX_CHARACTERS = 1024
HEADERS_MAX = 64
LOOK_BACK_MAX_OFFSETS = 100_000  # per partition; a topic of nothing but aborted transactions ends the search here
OWN_HEADERS = ("reason", "error", "raw")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that should have been parsed and could not be; `raw` is the raw-log `<partition>/<offset>`."""

    reason: str
    error: str
    raw: str
    ts_ms: int
    partition: int
    offset: int
    headers: dict[str, str]
    body: bytes  # at most BODY_MAX_BYTES of it
    truncated: bool

    @classmethod
    def of(cls, record: ConsumerRecord) -> DeadLetter:
        """What of a record is shown; never raises, whatever its headers and body are."""
        headers = {_text(name): _text(value or b"") for name, value in record.headers}
        body = record.value or b""
        truncated = len(body) > BODY_MAX_BYTES or len(headers) > HEADERS_MAX + len(OWN_HEADERS)
        reason, error, raw = (headers.pop(name, "") for name in OWN_HEADERS)
        return cls(
            reason=reason,
            error=error,
            raw=raw,
            ts_ms=record.timestamp,
            partition=record.partition,
            offset=record.offset,
            headers=dict(list(headers.items())[:HEADERS_MAX]),
            body=body[:BODY_MAX_BYTES],
            truncated=truncated,
        )

    def json(self) -> dict[str, Any]:
        """For the API: `body`, or `body_base64` where the body is not UTF-8; `ts` in epoch ms."""
        shown: dict[str, Any] = {
            "reason": self.reason,
            "error": self.error,
            "raw": self.raw,
            "ts": self.ts_ms,
            "offset": f"{self.partition}/{self.offset}",
            "headers": self.headers,
        }
        text = utf8_prefix(self.body, cut=self.truncated)
        if text is None:
            shown["body_base64"] = base64.b64encode(self.body).decode()
        else:
            shown["body"] = text
        shown["truncated"] = self.truncated
        return shown


async def newest_dead_letters(brokers: Brokers, n: int) -> list[DeadLetter]:
    """The newest `n` dead letters over all partitions, newest first; fewer where there are no more.

    Looks back at most LOOK_BACK_MAX_OFFSETS per partition. Raises TopicMissing, BrokersUnavailable.
    """
    begins = await brokers.beginnings(TOPIC)
    upper = await committed_ends(brokers, TOPIC)
    floor = {p: max(begin, upper[p] - LOOK_BACK_MAX_OFFSETS) for p, begin in begins.items()}
    found: dict[int, list[DeadLetter]] = {p: [] for p in begins}
    span = 2 * n + 16  # every transaction ends in a marker that takes an offset
    while wanting := [p for p in begins if len(found[p]) < n and upper[p] > floor[p]]:
        lower = {p: max(floor[p], upper[p] - span) for p in wanting}
        stretches = {TopicPartition(TOPIC, p): (lower[p], upper[p]) for p in wanting}
        read_now: dict[int, deque[DeadLetter]] = {p: deque(maxlen=n) for p in wanting}
        async for tp, records in read(brokers, stretches, max_partition_fetch_bytes=1 << 20, fetch_max_bytes=8 << 20):
            read_now[tp.partition].extend(DeadLetter.of(record) for record in records)
        for p, letters in read_now.items():
            found[p] = [*letters, *found[p]][-n:]
            upper[p] = lower[p]
        span *= 8
    return _newest(n, (letter for letters in found.values() for letter in letters))


def _newest(n: int, letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    return sorted(letters, key=lambda letter: (letter.ts_ms, letter.offset, letter.partition), reverse=True)[:n]


def _text(value: str | bytes) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text if len(text) <= HEADER_MAX_CHARACTERS else text[:HEADER_MAX_CHARACTERS] + "…"


def utf8_prefix(body: bytes, *, cut: bool) -> str | None:
    """The body as text, or None where it is not UTF-8; a character that was cut at the end is left out."""
    for dropped in range(4 if cut else 1):
        try:
            return body[: len(body) - dropped].decode("utf-8")
        except UnicodeDecodeError as exc:
            if exc.end < len(body) - dropped:
                return None
    return None
