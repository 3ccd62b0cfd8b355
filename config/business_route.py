"""One `[[business]]` table of the routes file: a business log that is monitored, and the figures kept of it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from config.toml_table import Table
from config.wording import did_you_mean, listed, quoted

FieldType = Literal["str", "int", "float", "bool"]
LogFormat = Literal["json", "kv", "regex"]
MetricKind = Literal["sum", "min", "max", "percentiles"]

_FIELD_TYPES: tuple[FieldType, ...] = ("str", "int", "float", "bool")
_FORMATS: tuple[LogFormat, ...] = ("json", "kv", "regex")
_KINDS: tuple[MetricKind, ...] = ("sum", "min", "max", "percentiles")
_KEEP: tuple[Literal["listed", "all"], ...] = ("listed", "all")
_KEYS = ("name", "logger", "format", "regex", "timestamp", "fields", "keep", "group_by", "metrics")

# 249 characters is Kafka's limit for a topic, `business-` takes nine of them.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,239}")
_RECORD_FIELDS = ("ts", "service", "host")  # every record of the topic has these
_WINDOW_FIELDS = ("count", "start", "key", "ts")  # every window of the API has these


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure kept for each window and group: `kind` of the values of `field`, shown as `name`."""

    name: str
    kind: MetricKind
    field: str


@dataclass(frozen=True, slots=True)
class BusinessRoute:
    """A monitored business log.

    `logger` is a glob. `regex` is there exactly when `format` is `regex`, compiles, and has a group for each of
    `fields` and for `timestamp`. `group_by` and the metrics name `fields` only, the metrics those that are numbers.
    """

    name: str
    logger: str
    format: LogFormat
    regex: str | None
    timestamp: str | None
    fields: Mapping[str, FieldType]
    keep: Literal["listed", "all"]
    group_by: tuple[str, ...]
    metrics: tuple[Metric, ...]

    @property
    def topic(self) -> str:
        """The monitoring topic that the route feeds."""
        return f"business-{self.name}"


def read_business_route(table: Table) -> BusinessRoute | None:
    """Read one table; None where it cannot be used, with all that is wrong noted."""
    table.allow(_KEYS)
    complete = table.has("name", "logger", "format")
    name = _name(table)
    logger = table.text("logger")
    log_format = table.choice("format", _FORMATS)
    timestamp = table.text("timestamp")
    fields = _fields(table)
    keep = table.choice("keep", _KEEP) or "listed"
    group_by = _group_by(table, fields)
    metrics = _metrics(table, fields)
    regex = _regex(table, log_format, fields, timestamp)
    if timestamp is not None and fields.get(timestamp) == "bool":
        table.wrong(f"field {quoted(timestamp)} is bool, which is no time", "timestamp")
    if not complete or name is None or logger is None or log_format is None:
        return None
    return BusinessRoute(name, logger, log_format, regex, timestamp, fields, keep, group_by, metrics)


def _name(table: Table) -> str | None:
    name = table.text("name")
    if name is not None and not _NAME.fullmatch(name):
        table.wrong(
            f"{quoted(name)} cannot be part of a topic and an address: 1 to 240 of A-Z a-z 0-9 . _ -, "
            "the first a letter or a digit",
            "name",
        )
        return None
    return name


def _fields(table: Table) -> dict[str, FieldType]:
    fields: dict[str, FieldType] = {}
    declared = table.table("fields")
    if declared is None:
        return fields
    for field in declared.values:
        if field in _RECORD_FIELDS:
            declared.wrong(f"{quoted(field)} is in every record already; leave it out of the fields", field)
        elif not field or not field.isprintable():
            declared.wrong("is not a name for a field", field)
        # A field of a wrong type is noted; as a number it causes no second message where it is used.
        fields[field] = declared.choice(field, _FIELD_TYPES) or "float"
    return fields


def _group_by(table: Table, fields: Mapping[str, FieldType]) -> tuple[str, ...]:
    group_by = table.texts("group_by") or ()
    for index, field in enumerate(group_by):
        if field in group_by[:index]:
            table.wrong(f"{quoted(field)} is named twice", "group_by", index)
        elif field not in fields:
            table.wrong(_not_a_field(field, fields), "group_by", index)
    return group_by


def _metrics(table: Table, fields: Mapping[str, FieldType]) -> tuple[Metric, ...]:
    declared = table.table("metrics")
    if declared is None:
        return ()
    metrics: list[Metric] = []
    for name in declared.values:
        if name in _WINDOW_FIELDS:
            declared.wrong(f"{quoted(name)} is in every window already; take another name", name)
        elif not name or not name.isprintable():
            declared.wrong("is not a name for a metric", name)
        metric = declared.table(name)
        if metric is not None:
            metrics.extend(_metric(name, metric, fields))
    return tuple(metrics)


def _metric(name: str, table: Table, fields: Mapping[str, FieldType]) -> Iterator[Metric]:
    """The one metric of a table such as `{ sum = "amount" }`, or none."""
    table.allow(_KINDS)
    kinds = [kind for kind in _KINDS if kind in table.values]
    if len(kinds) != 1:
        table.wrong(f'must have exactly one of {listed(_KINDS)}, such as {{ sum = "amount" }}')
        return
    field = table.text(kinds[0])
    if field is None:
        return
    if field not in fields:
        table.wrong(_not_a_field(field, fields), kinds[0])
    elif fields[field] not in ("int", "float"):
        table.wrong(f"needs a number, and field {quoted(field)} is {fields[field]}", kinds[0])
    yield Metric(name, kinds[0], field)


def _not_a_field(name: str, fields: Mapping[str, FieldType]) -> str:
    return f"{quoted(name)} is not one of the fields{did_you_mean(name, fields)}"


def _regex(
    table: Table, log_format: LogFormat | None, fields: Mapping[str, FieldType], timestamp: str | None
) -> str | None:
    if log_format == "regex" and not table.has("regex"):
        return None
    regex = table.text("regex")
    if regex is None or log_format is None:
        return None
    if log_format != "regex":
        table.wrong(f'is only for format = "regex", and the format is {log_format!r}', "regex")
        return None
    groups = _groups(table, regex)
    if groups is not None:
        needed: dict[str, tuple[str, ...]] = {field: ("fields", field) for field in fields}
        if timestamp is not None:
            needed.setdefault(timestamp, ("timestamp",))
        for name, place in needed.items():
            if name not in groups:
                table.wrong(f"the regex has no group (?P<{name}>...){did_you_mean(name, groups)}", *place)
    return regex


def _groups(table: Table, regex: str) -> Collection[str] | None:
    """The names of a regular expression's groups; None where it does not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a set that looks nested is the operator's business
            return re.compile(regex).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        table.wrong(f"is not a regular expression: {error}", "regex")
        return None
