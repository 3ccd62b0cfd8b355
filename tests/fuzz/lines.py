"""What a log line may be, and a routes file: access lines, business lines, patterns, TOML."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from config.errors import RoutesError
from config.routes import load
from config.settings import SHIPPED_ROUTES
from parsers.business import compile_business, encode_business
from parsers.errors import ParseError
from parsers.tomcat import compile_pattern, compile_patterns, encode
from tests.fuzz.engine import Target, outcome_of, require

_PATTERNS = (
    "common",
    "combined",
    '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i" %D',
    '%{begin:msec}t %h "%u" "%{User-Agent}i" %s %B %D %X "%r" "%{Referer}i"',
    '%t\t%h\t%s\t%b\t%m %U%q %H\t%T %D\t"%{Referer}i"\t%u',
    "\"%m %U%q %H\" %s %b [%I] %a:%p %{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}t|%{User-Agent}i",
    "%U %q %s",
    "%s|%u|%{Referer}i|%{sec}t.%{msec_frac}t|%{User-Agent}i",
)
_COMPILED = [*(compile_pattern(pattern, 10.0) for pattern in _PATTERNS), compile_patterns(_PATTERNS, 9.0)]
ACCESS_LINES = (
    b'10.0.0.1 - - [21/Nov/2026:09:50:33 +0000] "GET /item?id=1 HTTP/1.1" 200 512',
    b'::1 - bob [21/Nov/2026:09:50:33 -0330] "POST /\\"x\\" HTTP/2.0" 404 - "http://a/?b=\\u00e4" "Mozilla/5.0 (X)"',
    b'h - - [21/Nov/2026:09:50:33 +0000] "-" 400 - "-" "-" 1234',
    b'1795254633123 h "bob" "agent \\"x\\"" 200 0 12 + "GET / HTTP/1.1" "-"',
    b'[21/Nov/2026:09:50:33 +0000]\th\t200\t-\tGET /a?b HTTP/1.1\t0.012 12\t"-"\tbob',
    b'"GET /a?b=c HTTP/1.1" 200 1 [http-nio-1] 10.0.0.1:8080 2026-11-21T09:50:33.123Z|curl/8',
    b"200|bob|-|1795254633.123|curl",
    b"/a ?b 200",
)


def _tomcat(data: bytes) -> Hashable:
    results: list[Hashable] = []
    for parser in _COMPILED:
        try:
            record = parser.parse(data)
        except ParseError as refused:
            require(refused.reason in ("no_pattern_matches", "bad_timestamp"))
            results.append(refused.reason)
            continue
        decoded = json.loads(encode(record, "shop", "web-1", 1))
        assert isinstance(decoded["ts"], int)
        results.append(sum(1 << at for at, value in enumerate(record) if value is not None))
    return tuple(results)


def _pattern(data: bytes) -> Hashable:
    """A pattern of the routes file: a wrong one is refused with ValueError."""
    pattern = data.decode("utf-8", "replace")
    try:
        parser = compile_pattern(pattern, 10.1)
    except ValueError as refused:
        return outcome_of(refused)
    for line in ACCESS_LINES:
        with suppress(ParseError):
            parser.parse(line)
    return len(re.findall("%[a-zA-Z]", pattern))


# -- business lines

_FIELDS = {"a": "str", "b": "int", "c": "float", "d": "bool", "e.f": "str"}
_REGEX = r"(?P<a>\w*) (?P<b>\S*) (?P<c>\S*) (?P<d>\S*)(?: (?P<at>.*))?"
_REGEX_FIELDS = {"a": "str", "b": "int", "c": "float", "d": "bool"}
_REASONS = {"not_json", "not_an_object", "no_match", "too_long", "bad_type", "bad_timestamp", "bad_value"}
_BUSINESS = {
    "json": [compile_business("json", None, at, _FIELDS, keep) for at, keep in ((None, "all"), ("at", None))],
    "kv": [compile_business("kv", None, at, _FIELDS, keep) for at, keep in ((None, "all"), ("at", None))],
    "regex": [
        compile_business("regex", "^" + _REGEX, None, _REGEX_FIELDS),
        *(compile_business("regex", _REGEX, at, _REGEX_FIELDS, keep) for at, keep in ((None, "all"), ("at", None))),
    ],
}
_BUSINESS_LINES = {
    "json": (
        b'{"at": 1718000000000, "a": "x", "b": 1, "c": 2.5, "d": true, "e": {"f": "g"}, "z": [1, {"y": null}]}',
        b'{"at": "2026-11-21T09:50:33.123+01:00", "e.f": "\\u00e4", "b": -0, "c": 1e300}',
        b'{"at": 1718000000.5}',
    ),
    "kv": (
        b'at=1718000000000 a=x b=1 c=2.5 d=true e.f="g \\"h\\" \\n" z=',
        b"at=2026-11-21T09:50:33Z, a='x y'; b=-1\tc=1e5 d=no",
    ),
    "regex": (b"word 1 2.5 true 2026-11-21 09:50:33,123", b"a - - -", b" 1718000000 x y 1718000000"),
}


def _business(format: str, data: bytes) -> Hashable:
    results: list[Hashable] = []
    for parser in _BUSINESS[format]:
        try:
            record = parser.parse(data)
        except ParseError as refused:
            require(refused.reason in _REASONS)
            str(refused).encode()
            results.append(outcome_of(refused))
            continue
        decoded = json.loads(encode_business(record, "shop", "web-1", 1))
        assert isinstance(decoded["ts"], int)
        assert decoded.keys() == record.fields.keys() | {"ts", "service", "host"}
        results.append(min(len(record.fields), 12))
    return tuple(results)


# -- the routes file

_FOLDER = Path(tempfile.gettempdir())
_SHIPPED = SHIPPED_ROUTES.read_bytes()


def _routes(data: bytes) -> Hashable:
    """A file of an operator's: wrong ones are refused with a line for each problem, each naming its place."""
    with tempfile.NamedTemporaryFile(dir=_FOLDER, suffix=".toml") as file:
        file.write(data)
        file.flush()
        try:
            routes = load(Path(file.name), check_pattern=compile_pattern)
        except RoutesError as refused:
            require(refused.problems)
            require(all(problem.startswith(file.name) and problem.isprintable() for problem in refused.problems))
            return outcome_of(RoutesError([refused.problems[0].partition(": ")[2]]))
    return len(routes.business), len(routes.sources), routes.access_log is None


LINES = (
    Target("tomcat", ACCESS_LINES, _tomcat, (b'" ', b' "', b"\\u", b"???", b"- - [", b" +0000] ", b"?", b"HTTP/1.1")),
    Target(
        "pattern",
        [pattern.encode() for pattern in _PATTERNS],
        _pattern,
        (b"%{", b"}i", b"}t", b"%%", b"%T", b"%{ms}T", b"yyyy", b"'", b"SSS", b"XXX", b"%r", b"%t"),
        max_bytes=2_000,  # it is the operator's own, and compiled once
    ),
    *(
        Target(f"business-{format}", lines, lambda data, format=format: _business(format, data))
        for format, lines in _BUSINESS_LINES.items()
    ),
    Target(
        "routes",
        (_SHIPPED, b"\n".join(line for line in _SHIPPED.splitlines() if not line.startswith(b"#"))),
        _routes,
        (
            b"[[source]]",
            b"[[business]]",
            b"[access_log]",
            b'kind = "tail"',
            b'regex = "("',
            b'"""',
            b"1979-05-27",
            b"#",
        ),
        max_bytes=65_536,
    ),
)
