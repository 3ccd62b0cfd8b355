"""Business log lines to typed fields: JSON, key=value or a regular expression, as a `[[business]]` route says.

What a field's value may look like is in parsers/business_types.py, how a line is taken apart in
parsers/business_formats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

import orjson

from parsers.business_columns import JSON_COLUMNS, TEXT_COLUMNS, ColumnConverters, json_ms_of, text_ms_of
from parsers.business_formats import Values, compile_key_value, compile_regex, json_values, json_values_of
from parsers.business_types import BAD, JSON_TYPES, TEXT_TYPES, json_ms
from parsers.errors import ParseError
from parsers.json_each import dumps_each, well_formed
from parsers.timestamps import text_ms

BAD_TYPE: Final = "bad_type"
BAD_TIMESTAMP: Final = "bad_timestamp"

# Keys that every record on a business topic has besides the route's fields.
RESERVED: Final = frozenset({"ts", "service", "host"})

Keep = Literal["listed", "all"]
_FORMATS: Final = ("json", "kv", "regex")


class BusinessRecord(NamedTuple):
    """One business event. A listed field that the line doesn't have is there with the value None."""

    ts: int | None  # epoch ms; None where the route names no timestamp field
    fields: dict[str, Any]  # listed fields in the route's order, then, with keep = "all", the others


class BusinessColumns(NamedTuple):
    """Business events as columns of equal length; each is what `BusinessRecord` says of one."""

    ts: Sequence[int | None]
    fields: Sequence[dict[str, Any]]

    def take(self, places: Sequence[int]) -> BusinessColumns:
        """The same columns, of the records at these places."""
        return BusinessColumns._make([column[place] for place in places] for column in self)


class Form(NamedTuple):
    """How lines of a format are read: one by one, and by the column where every value is of the usual form.

    What reads columns gives None where one is not.
    """

    values: Callable[[bytes], Values]
    types: Mapping[str, Callable[[Any], Any]]
    read_time: Callable[[Any], int | None]
    split: Callable[[Sequence[bytes]], list[Values] | None]
    columns: ColumnConverters
    times: Callable[[Sequence[Any]], Sequence[int] | None]


JSON: Final = Form(json_values, JSON_TYPES, json_ms, json_values_of, JSON_COLUMNS, json_ms_of)


class BusinessParser:
    """Parses the lines of one route. Stateless.

    A listed field of a JSON line may be a dotted path into objects (`customer.country`); a key that has the dots in its
    own name goes first. With keep = "all" the other keys of the line's outermost object (pairs, groups) are kept as
    they are, but for `ts`, `service` and `host`, which are the record's own.
    """

    def __init__(self, form: Form, timestamp: str | None, fields: Mapping[str, str], keep: Keep) -> None:
        self._format = form
        self._values = form.values
        self._fields = [(name, _path(name), form.types[type_name], type_name) for name, type_name in fields.items()]
        self._read_timestamp = form.read_time
        self._timestamp = timestamp
        self._timestamp_path = None if timestamp is None else _path(timestamp)
        self._dropped = None if keep == "listed" else RESERVED.union(fields, () if timestamp is None else (timestamp,))

    def parse(self, body: bytes) -> BusinessRecord:
        """The record of a line.

        Raises ParseError: `not_json`, `not_an_object`, `no_match`, `too_long` for a line that isn't of the format;
        `bad_type` for a listed field whose value isn't of its type; `bad_timestamp` where the route's timestamp field
        is missing, null or no instant; `bad_value` where another value could not be written again.
        """
        values = self._values(body)
        found: dict[str, Any] = {}
        for name, path, convert, type_name in self._fields:
            value = values.get(name)
            if value is None:
                found[name] = None if path is None else _convert(_walk(values, path), convert, name, type_name)
            else:
                converted = convert(value)
                if converted is BAD:
                    raise _bad_type(name, type_name, value)
                found[name] = converted
        ts = None if self._timestamp is None else self._read_ts(values)
        if self._dropped is not None:
            _add_others(found, values, self._dropped)
        return _new_record(BusinessRecord, (ts, found))

    def parse_many(self, bodies: Sequence[bytes]) -> tuple[BusinessColumns, dict[int, ParseError]]:
        """What `parse` gives for each line, in order, and by its place what it raises."""
        columns = self._usual(bodies)
        if columns is not None:
            return columns, {}
        records: list[BusinessRecord] = []
        refused: dict[int, ParseError] = {}
        append, parse = records.append, self.parse
        for place, body in enumerate(bodies):
            try:
                append(parse(body))
            except ParseError as error:
                refused[place] = error
        return BusinessColumns._make(zip(*records, strict=True) if records else ((), ())), refused

    def _usual(self, bodies: Sequence[bytes]) -> BusinessColumns | None:
        """The records of lines of which nothing has to be converted one by one or refused; None where something has."""
        values = self._format.split(bodies)
        if not values:
            return None
        columns: list[Sequence[Any]] = []
        for name, path, _, type_name in self._fields:
            column: Sequence[Any] = [each.get(name) for each in values]
            if path is not None:
                column = [
                    _walk(each, path) if value is None else value for value, each in zip(column, values, strict=True)
                ]
            converted = self._format.columns[type_name](column)
            if converted is None:
                return None
            columns.append(converted)
        times: Sequence[int | None] | None = [None] * len(values)
        if self._timestamp is not None:
            times = self._format.times([each.get(self._timestamp) for each in values])
        if times is None or self._dropped is not None:
            return None
        names = [name for name, *_ in self._fields]
        rows = zip(*columns, strict=True) if columns else [()] * len(values)
        return BusinessColumns(times, [dict(zip(names, row, strict=True)) for row in rows])

    def _read_ts(self, values: Values) -> int:
        assert self._timestamp is not None
        value = values.get(self._timestamp)
        if value is None and self._timestamp_path is not None:
            value = _walk(values, self._timestamp_path)
        try:
            ts = None if value is None else self._read_timestamp(value)
        except ValueError as error:
            raise ParseError(BAD_TIMESTAMP, f"field {self._timestamp}: {error}") from None
        if ts is None:
            raise ParseError(
                BAD_TIMESTAMP, f"field {self._timestamp} is {'missing' if value is None else 'no instant'}"
            )
        return ts


def compile_business(
    format: str, regex: str | None, timestamp: str | None, fields: Mapping[str, str], keep: str | None = None
) -> BusinessParser:
    """The parser of a route: what its `format`, `regex`, `timestamp`, `fields` and `keep` say.

    Raises ValueError for an unknown format, type or keep, a regular expression that is missing, wrong, or without a
    group for a listed field, and a field named `ts`, `service` or `host` (which every record has of its own).
    """
    if format not in _FORMATS:
        raise ValueError(f"format = {format!r}: must be one of {', '.join(_FORMATS)}")
    if keep not in (None, "listed", "all"):
        raise ValueError(f'keep = {keep!r}: must be "listed" or "all"')
    if (regex is None) is (format == "regex"):
        raise ValueError(f'format = "{format}" {"needs" if format == "regex" else "takes no"} regex')
    for name, type_name in fields.items():
        if type_name not in JSON_TYPES:
            raise ValueError(f"fields.{name} = {type_name!r}: must be one of {', '.join(JSON_TYPES)}")
        if name in RESERVED:
            raise ValueError(f"fields.{name}: every record has a {name!r} of its own; the field can't be called so")
    listed: Keep = "all" if keep == "all" else "listed"
    if format == "json":
        return BusinessParser(JSON, timestamp, fields, listed)
    if regex is None:
        return BusinessParser(_text_form(compile_key_value()), timestamp, fields, listed)
    names = [*fields, *([] if timestamp is None else [timestamp])]
    return BusinessParser(_text_form(compile_regex(regex, names)), timestamp, fields, listed)


def _text_form(values: Callable[[bytes], Values]) -> Form:
    def split(bodies: Sequence[bytes]) -> list[Values] | None:
        try:
            return list(map(values, bodies))
        except ParseError:
            return None

    return Form(values, TEXT_TYPES, text_ms, split, TEXT_COLUMNS, text_ms_of)


def encode_business(record: BusinessRecord, service: str | None, host: str | None, raw_ts_ms: int) -> bytes:
    """The JSON of one record, as `encode_business_many`; `raw_ts_ms` is its time where the line gave none."""
    time_ms = raw_ts_ms if record.ts is None else record.ts
    (encoded,) = encode_business_many(BusinessColumns([record.ts], [record.fields]), [service], [host], [time_ms])
    return encoded


def encode_business_many(
    columns: BusinessColumns,
    services: Sequence[str | None],
    hosts: Sequence[str | None],
    times_ms: Sequence[int],
) -> list[bytes]:
    """The JSON of topic `business-<route>`: each record's time, `service`, `host` and fields.

    Never fails for records that `parse` gave: lone surrogates in `services` and `hosts` become U+FFFD.
    """
    values = [
        {"ts": ts, "service": service, "host": host, **fields}
        for fields, service, host, ts in zip(columns.fields, services, hosts, times_ms, strict=True)
    ]
    try:
        return dumps_each(values)
    except orjson.JSONEncodeError:
        return dumps_each([{**value, **well_formed(value["service"], value["host"])} for value in values])


_new_record: Final[Callable[..., BusinessRecord]] = tuple.__new__


def _path(name: str) -> tuple[str, ...] | None:
    return tuple(name.split(".")) if "." in name else None


def _walk(values: Values, path: tuple[str, ...]) -> Any:
    value: Any = values
    for step in path:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def _convert(value: Any, convert: Callable[[Any], Any], name: str, type_name: str) -> Any:
    if value is None:
        return None
    converted = convert(value)
    if converted is BAD:
        raise _bad_type(name, type_name, value)
    return converted


def _bad_type(name: str, type_name: str, value: Any) -> ParseError:
    shown = repr(value[:100] if isinstance(value, str) else value)[:120]
    return ParseError(BAD_TYPE, f"field {name} is no {type_name}: {shown}")


def _add_others(found: dict[str, Any], values: Values, dropped: frozenset[str]) -> None:
    for name, value in values.items():
        if name not in dropped:
            if isinstance(value, (dict, list)):
                try:
                    orjson.dumps([[value]])  # it reads 1,024 levels of nesting and writes 254, two of which are ours
                except orjson.JSONEncodeError as error:
                    raise ParseError("bad_value", f"field {name[:100]} can't be written again: {error}") from None
            found[name] = value
