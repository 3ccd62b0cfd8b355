"""The routes file: which logs go to real-time monitoring and how, checked whole before anything starts."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.business_route import BusinessRoute, FieldType, LogFormat, Metric, MetricKind, read_business_route
from config.errors import RoutesError
from config.rpc_source import read_rpc_source
from config.source import SOURCE_KINDS, SourceConfig, SourceKind, read_common
from config.syslog_source import read_syslog_source
from config.tail_source import read_tail_source
from config.toml_lines import TomlLines
from config.toml_table import Problems, Table
from config.wording import quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = [
    "AccessLogRoute",
    "BusinessRoute",
    "FieldType",
    "LogFormat",
    "Metric",
    "MetricKind",
    "Routes",
    "SourceConfig",
    "load",
]

CheckPattern = Callable[[str, float], object]
"""Compiles a Tomcat pattern for a Tomcat version. Raises ValueError where it cannot."""

# The kinds that can be had, each with the reader of its tables; HTTP is always there and needs none.
_READERS: dict[SourceKind, Callable[[Table], SourceConfig | None]] = {
    "tail": read_tail_source,
    "syslog": read_syslog_source,
    "thrift": read_rpc_source,
    "avro": read_rpc_source,
}
_TOMCAT_VERSIONS = (8, 8.5, 9, 10, 10.1, 11)
_TOMCAT_DEFAULT = 10.0
_DURATION = re.compile(r"%[DT]")  # the two letters whose unit the version decides
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True, slots=True)
class AccessLogRoute:
    """Every record of type `access_log`: the patterns to try, in order, and the Tomcat that wrote them."""

    patterns: tuple[str, ...]
    tomcat: float

    @property
    def topic(self) -> str:
        """The monitoring topic that the route feeds."""
        return "access-log"


@dataclass(frozen=True, slots=True)
class Routes:
    """What one routes file says. Names of business routes and of sources are unique in it."""

    access_log: AccessLogRoute | None
    business: tuple[BusinessRoute, ...]
    sources: tuple[SourceConfig, ...]
    path: Path


def load(path: Path, *, check_pattern: CheckPattern) -> Routes:
    """Read the routes file at `path`; an empty one monitors nothing.

    `check_pattern` is asked about every pattern of the access log. Raises RoutesError with all that is wrong, one
    problem a line, as `file:line: key: what`.
    """
    text = _read(path)
    try:
        document = tomllib.loads(text)
        lines = TomlLines(text)
    except ValueError as error:  # TOMLDecodeError is one, and numbers of thousands of digits raise it bare
        raise RoutesError([_syntax_problem(path, text, str(error))]) from error
    except RecursionError as error:
        raise RoutesError([f"{path}: is nested too deeply"]) from error
    problems = Problems(path, lines)
    table = Table(document, (), problems)
    table.allow(("access_log", "business", "source"))
    routes = Routes(_access_log(table, check_pattern), _business(table), _sources(table), path)
    problems.raise_if_any()
    return routes


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise RoutesError([f"{path}: there is no such file; SLUICE_ROUTES names the routes file"]) from None
    except OSError as error:
        raise RoutesError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise RoutesError([f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8"]) from error


def _syntax_problem(path: Path, text: str, message: str) -> str:
    """tomllib's message with its line moved to the front."""
    position = _POSITION.search(message)
    line = position[1] if position and position[1] else text.count("\n") + 1
    return f"{path}:{line}: not valid TOML: {_POSITION.sub('', message)}"


def _access_log(document: Table, check_pattern: CheckPattern) -> AccessLogRoute | None:
    table = document.table("access_log")
    if table is None:
        return None
    table.allow(("patterns", "tomcat"))
    table.has("patterns")
    patterns = table.texts("patterns")
    if patterns == ():
        table.wrong("is empty; without [access_log] no access log is monitored", "patterns")
    tomcat = _tomcat(table, patterns or ())
    if patterns is None or tomcat is None:
        return None
    for index, pattern in enumerate(patterns):
        try:
            check_pattern(pattern, tomcat)
        except ValueError as error:
            table.wrong(f"{quoted(pattern)}: {error}", "patterns", index)
    return AccessLogRoute(patterns, tomcat)


def _tomcat(table: Table, patterns: tuple[str, ...]) -> float | None:
    if "tomcat" not in table.values:
        if any(_DURATION.search(pattern) for pattern in patterns):
            table.wrong("missing key 'tomcat': Tomcat's version decides the unit of %D and %T")
            return None
        return _TOMCAT_DEFAULT
    version = table.values["tomcat"]
    if isinstance(version, bool) or version not in _TOMCAT_VERSIONS:
        table.wrong(f"{quoted(version)} is not one of {', '.join(map(str, _TOMCAT_VERSIONS))}", "tomcat")
        return None
    return float(version)


def _business(document: Table) -> tuple[BusinessRoute, ...]:
    tables = document.tables("business")
    # Kafka takes topics that differ only in . and _ for the same, and refuses the second.
    _note_duplicates(tables, lambda name: name.replace(".", "_"))
    routes = [read_business_route(table) for table in tables]
    return tuple(route for route in routes if route is not None)


def _sources(document: Table) -> tuple[SourceConfig, ...]:
    tables = document.tables("source")
    _note_duplicates(tables, str)
    sources = [_source(table) for table in tables]
    return tuple(source for source in sources if source is not None)


def _source(table: Table) -> SourceConfig | None:
    kind = table.choice("kind", SOURCE_KINDS) if table.has("kind") else None
    if kind is not None and kind in _READERS:
        return _READERS[kind](table)
    read_common(table)
    if kind is not None:
        table.wrong(f"kind {kind!r} is not available in this version", "kind")
    return None


def _note_duplicates(tables: list[Table], identity: Callable[[str], str]) -> None:
    """Note every table whose `name` an earlier one has."""
    first: dict[str, str] = {}
    for table in tables:
        name = table.values.get("name")
        if not isinstance(name, str):
            continue
        if identity(name) not in first:
            first[identity(name)] = name
        elif first[identity(name)] == name:
            table.wrong(f"{quoted(name)} is the name of an earlier table", "name")
        else:
            table.wrong(f"{quoted(name)} is to Kafka the same name as {quoted(first[identity(name)])}", "name")
