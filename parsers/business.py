"""Business log lines to typed fields: JSON, key=value or a regular expression, as a `[[business]]` route says.

What a field's value may look like is in parsers/business_types.py, how a line is taken apart in
parsers/business_formats.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

import orjson

from parsers.business_formats import Values, compile_key_value, compile_regex, json_values
from parsers.business_types import BAD, JSON_TYPES, TEXT_TYPES, json_ms
from parsers.errors import ParseError
from parsers.escapes import replace_surrogates
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


class BusinessParser:
    """Parses the lines of one route. Stateless.

    A listed field of a JSON line may be a dotted path into objects (`customer.country`); a key that has the dots in its
    own name goes first. With keep = "all" the other keys of the line's outermost object (pairs, groups) are kept as
    they are, but for `ts`, `service` and `host`, which are the record's own.
    """

    def __init__(
        self,
        values: Callable[[bytes], Values],
        types: Mapping[str, Callable[[Any], Any]],
        read_timestamp: Callable[[Any], int | None],
        timestamp: str | None,
        fields: Mapping[str, str],
        keep: Keep,
    ) -> None:
        self._values = values
        self._fields = [(name, _path(name), types[type_name], type_name) for name, type_name in fields.items()]
        self._read_timestamp = read_timestamp
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
        return BusinessParser(json_values, JSON_TYPES, json_ms, timestamp, fields, listed)
    if regex is None:
        return BusinessParser(compile_key_value(), TEXT_TYPES, text_ms, timestamp, fields, listed)
    names = [*fields, *([] if timestamp is None else [timestamp])]
    return BusinessParser(compile_regex(regex, names), TEXT_TYPES, text_ms, timestamp, fields, listed)


def encode_business(record: BusinessRecord, service: str | None, host: str | None, raw_ts_ms: int) -> bytes:
    """The JSON of topic `business-<route>`: `ts` (else `raw_ts_ms`), `service`, `host` and the fields.

    Never fails for a record that `parse` gave: lone surrogates in `service` and `host` become U+FFFD.
    """
    ts, fields = record
    value = {"ts": raw_ts_ms if ts is None else ts, "service": service, "host": host, **fields}
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        value["service"] = None if service is None else replace_surrogates(service)
        value["host"] = None if host is None else replace_surrogates(host)
        return orjson.dumps(value)


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
                    orjson.dumps(value)  # it reads 1,024 levels of nesting and writes 254
                except orjson.JSONEncodeError as error:
                    raise ParseError("bad_value", f"field {name[:100]} can't be written again: {error}") from None
            found[name] = value
