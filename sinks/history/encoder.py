"""Raw records as rows of history files, grouped by the directory that they belong to.

`jsonl` row: {"partition", "offset", "ts", "headers", "body"}, with "body_base64" in place of "body" where the body is
not UTF-8. Headers are an object of strings: of duplicate names the last wins, bytes that are not UTF-8 come as `\\xff`,
and a header or body that is null in Kafka is null. `text` row: the body as it is, and a newline.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import orjson

from sinks.history.layout import HOUR_MS, LAST_MS, Bucket, escape_type, record_time_ms

Format = Literal["jsonl", "text"]
FORMATS: tuple[Format, ...] = ("jsonl", "text")

RawHeaders = tuple[tuple[str, bytes | None], ...]

# Most records of a source carry the same headers, so that looking them up is cheaper than encoding them again. Both
# limits bound what hostile headers can make us remember: 1 MiB.
_REMEMBERED = 1024
_REMEMBERED_BYTES = 1024


class Record(Protocol):
    """What history needs of a Kafka record; aiokafka's ConsumerRecord is one."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...  # epoch ms
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...
    @property
    def value(self) -> bytes | None: ...


@runtime_checkable
class Columns(Protocol):
    """Records as columns: what the batch layer hands over. Those that share their headers have the same id."""

    offsets: Sequence[int]
    timestamps: Sequence[int]
    values: Sequence[bytes | None]
    header_ids: Sequence[int]
    headers: Sequence[RawHeaders]


class Rows(NamedTuple):
    """What a batch adds to one file, in offset order."""

    data: bytes
    records: int
    first: int  # offset of the first row
    last: int


class _Headers(NamedTuple):
    type: str  # escaped
    stamp: bytes | None
    json: bytes


_MakeRow = Callable[[int, int, _Headers, bytes], bytes]


class Encoder:
    """Encodes the records of one partition; any record gives a row, whatever is in it.

    Pure but for a cache, so that a call may be abandoned. Holds the GIL: 1 us a record, 3 where each states its time.
    """

    def __init__(self, partition: int, format_: Format) -> None:
        self._bodies = _json_bodies if format_ == "jsonl" else _text_bodies
        self._row: _MakeRow = self._json_row if format_ == "jsonl" else _text_row
        self._start = b'{"partition":%d,"offset":' % partition
        self._seen: dict[RawHeaders, _Headers] = {}

    def encode(self, records: Sequence[Record]) -> dict[Bucket, Rows]:
        """The rows of a batch by bucket. Columns of records (`Columns`) are worked on as such."""
        row = self._row
        groups: dict[tuple[str, int], tuple[list[bytes], list[int]]] = {}
        seen, last_raw, last_key = self._seen, None, None
        offsets, times_ms, values, raws = _columns(records)
        bodies = self._bodies(values)
        for offset, time_ms, body, raw in zip(offsets, times_ms, bodies, raws, strict=True):
            if raw is not last_raw:
                last_raw = raw
                headers = seen.get(raw) or self._read_headers(raw)
            if headers.stamp is not None or not 0 <= time_ms <= LAST_MS:
                time_ms = record_time_ms(headers.stamp, time_ms)
            key = (headers.type, time_ms // HOUR_MS)
            if key != last_key:
                last_key = key
                rows, row_offsets = groups.setdefault(key, ([], []))
            rows.append(row(offset, time_ms, headers, body))
            row_offsets.append(offset)
        return {
            Bucket(*key): Rows(b"".join(rows), len(rows), offsets[0], offsets[-1])
            for key, (rows, offsets) in groups.items()
        }

    def _read_headers(self, raw: RawHeaders) -> _Headers:
        others = [header for header in raw if header[0] != "timestamp"]
        if len(others) < len(raw):  # it differs from record to record, the others hardly ever do
            stamp = dict(raw)["timestamp"]
            key = tuple(others)
            headers = self._seen.get(key) or self._read_headers(key)
            start = headers.json[:-1] + b"," if others else b"{"
            return _Headers(headers.type, stamp, b'%b"timestamp":%b}' % (start, orjson.dumps(_text(stamp))))
        headers = _Headers(
            escape_type(dict(raw).get("type")), None, _dumps({name: _text(value) for name, value in raw})
        )
        if len(headers.json) <= _REMEMBERED_BYTES:
            if len(self._seen) >= _REMEMBERED:
                self._seen = {}  # not clear(): an abandoned call may still be reading the old one
            self._seen[raw] = headers
        return headers

    def _json_row(self, offset: int, time_ms: int, headers: _Headers, body: bytes) -> bytes:
        return b'%b%d,"ts":%d,"headers":%b,%b}\n' % (self._start, offset, time_ms, headers.json, body)


def _text_row(_offset: int, _time_ms: int, _headers: _Headers, body: bytes) -> bytes:
    return body + b"\n"


def _text_bodies(values: Sequence[bytes | None]) -> Sequence[bytes]:
    return [value or b"" for value in values]


def _json_bodies(values: Sequence[bytes | None]) -> Sequence[bytes]:
    """The last member of each row."""
    try:
        texts = [value.decode() for value in values]  # type: ignore[union-attr]
    except (UnicodeDecodeError, AttributeError):
        return [_json_body(value) for value in values]
    # In one call of orjson. Within a JSON text each quote has a backslash before it: `","` is only found between two.
    return [b'"body":"%b"' % text for text in orjson.dumps(texts)[2:-2].split(b'","')] if texts else []


def _json_body(value: bytes | None) -> bytes:
    if value is None:
        return b'"body":null'
    try:
        return b'"body":%b' % orjson.dumps(value.decode())
    except UnicodeDecodeError:
        return b'"body_base64":"%b"' % base64.b64encode(value)


def _columns(
    records: Sequence[Record] | Columns,
) -> tuple[Iterable[int], Iterable[int], Sequence[bytes | None], Iterable[RawHeaders]]:
    """Offsets, times, values and headers."""
    if isinstance(records, Columns):
        headers = map(records.headers.__getitem__, records.header_ids)
        return records.offsets, records.timestamps, records.values, headers
    return (
        [record.offset for record in records],
        [record.timestamp for record in records],
        [record.value for record in records],
        [tuple(record.headers) for record in records],
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _dumps(texts: dict[str, str | None]) -> bytes:
    try:
        return orjson.dumps(texts)
    except orjson.JSONEncodeError:  # a name with half a surrogate pair: no client of ours makes one
        return orjson.dumps({name.encode("utf-8", "backslashreplace").decode(): text for name, text in texts.items()})
