"""What an access log line tells: one request as a record, many as columns, and both as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from parsers.json_each import dumps_each, well_formed


class AccessRecord(NamedTuple):
    """One request as the access log tells it; None where the line says `-` or the pattern doesn't carry it."""

    ts: int | None  # epoch ms; None where the pattern doesn't give date and time
    client: str | None
    user: str | None
    method: str | None
    path: str | None
    query: str | None  # without its '?'; empty for a bare '?'
    protocol: str | None
    status: int | None
    bytes: int  # 0 for '-', and where the pattern doesn't carry it
    duration_ms: float | None  # never negative: a clock that was set back gives 0
    referer: str | None
    user_agent: str | None


class AccessColumns(NamedTuple):
    """Requests as columns of equal length; each is what `AccessRecord` says of one."""

    ts: Sequence[int | None]
    client: Sequence[str | None]
    user: Sequence[str | None]
    method: Sequence[str | None]
    path: Sequence[str | None]
    query: Sequence[str | None]
    protocol: Sequence[str | None]
    status: Sequence[int | None]
    bytes: Sequence[int]
    duration_ms: Sequence[float | None]
    referer: Sequence[str | None]
    user_agent: Sequence[str | None]

    def take(self, places: Sequence[int]) -> AccessColumns:
        """The same columns, of the records at these places."""
        return AccessColumns._make([column[place] for place in places] for column in self)


class LineColumns(Protocol):
    """Requests of which most are still places in their lines: `AccessColumns` to whoever asks for a column."""

    @property
    def ts(self) -> Sequence[int | None]: ...
    def __iter__(self) -> Iterator[Sequence[Any]]: ...
    def take(self, places: Sequence[int], /) -> LineColumns:
        """The same columns, of the records at these places."""

    def encode(
        self, services: Sequence[str | None], hosts: Sequence[str | None], times_ms: Sequence[int | None], /
    ) -> tuple[list[Any], list[int]]:
        """What `encode_many` gives, and the places that it has left out."""


def encode(record: AccessRecord, service: str | None, host: str | None, ts_ms: int | None = None) -> bytes:
    """The JSON of topic `access-log` of one record, as `encode_many`; `ts_ms` is its time where the line gave none."""
    columns = AccessColumns._make([value] for value in record)
    (encoded,) = encode_many(columns, [service], [host], [ts_ms if record.ts is None else record.ts])
    return encoded


def encode_many(
    columns: AccessColumns | LineColumns,
    services: Sequence[str | None],
    hosts: Sequence[str | None],
    times_ms: Sequence[int | None],
) -> list[bytes]:
    """The JSON of topic `access-log`: each record with its time, service and host, keys in the contract's order.

    Never fails: lone surrogates in `services` and `hosts` become U+FFFD (the records' own texts have none).
    """
    if isinstance(columns, AccessColumns):
        return _encode_plain(columns, services, hosts, times_ms)
    values, left = columns.encode(services, hosts, times_ms)
    if left:
        some = AccessColumns(*columns.take(left))
        services, hosts = ([column[place] for place in left] for column in (services, hosts))
        times_ms = [times_ms[place] for place in left]
        for place, value in zip(left, _encode_plain(some, services, hosts, times_ms), strict=True):
            values[place] = value
    return values


def _encode_plain(
    columns: AccessColumns,
    services: Sequence[str | None],
    hosts: Sequence[str | None],
    times_ms: Sequence[int | None],
) -> list[bytes]:
    values = [
        {
            "ts": ts,
            "service": service,
            "host": host,
            "client": client,
            "user": user,
            "method": method,
            "path": path,
            "query": query,
            "protocol": protocol,
            "status": status,
            "bytes": size,
            "duration_ms": duration_ms,
            "referer": referer,
            "user_agent": user_agent,
        }
        for ts, service, host, client, user, method, path, query, protocol, status, size, duration_ms, referer,
            user_agent in zip(times_ms, services, hosts, *columns[1:], strict=True)
    ]  # fmt: skip
    try:
        return dumps_each(values)
    except orjson.JSONEncodeError:
        return dumps_each([{**value, **well_formed(value["service"], value["host"])} for value in values])
