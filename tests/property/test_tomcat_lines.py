"""Any bytes give a record or a ParseError; what Tomcat writes for a request is read back as that request."""

import json
import re
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from parsers.tomcat import AccessRecord, compile_pattern, compile_patterns, encode
from parsers.tomcat_pattern import NAMED_PATTERNS

PATTERNS = [
    "common",
    "combined",
    '%h %l %u %t "%r" %s %b %D',
    '%{begin:msec}t %h "%u" "%{User-Agent}i" %s %B %D %X "%r" "%{Referer}i"',
    '%t\t%h\t%s\t%b\t%m %U%q %H\t%T %D\t"%{Referer}i"\t%u',
    "\"%m %U%q %H\" %s %b [%I] %a:%p %{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}t|%{User-Agent}i",
    "%U %q %s",
    "%s|%u|%{Referer}i|%{sec}t.%{msec_frac}t|%{User-Agent}i",
]


class Request(NamedTuple):
    """What Tomcat knows of a request when it writes the line; `record` is what must be read back."""

    at: datetime
    client: str
    user: str | None
    method: str
    path: str
    query: str | None
    status: int
    bytes: int
    micros: int
    referer: str | None
    agent: str | None
    end: str  # of %X


def escape(text: str | None) -> str:
    """Tomcat's escaping of values, told again."""
    if not text:
        return "-"
    written = ""
    for unit in text.encode("utf-16-be", "surrogatepass").hex(" ", 2).split(" "):
        code = int(unit, 16)
        named = {8: None, 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}.get(code)
        written += named or (chr(code) if 32 <= code < 127 else "\\u" + unit)
    return written


def write_code(letter: str, argument: str | None, request: Request, tomcat: float) -> str:
    target = escape(request.path) + ("" if request.query is None else "?" + (request.query and escape(request.query)))
    no_query = "-" if tomcat >= 9 else ""
    ms = round(request.at.timestamp() * 1000)
    times = {
        None: request.at.strftime("[%d/%b/%Y:%H:%M:%S %z]"),
        "begin:msec": str(ms),
        "sec": str(ms // 1000),
        "msec_frac": f"{ms % 1000:03}",
        "yyyy-MM-dd'T'HH:mm:ss.SSSXXX": request.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    values = {
        "h": request.client,
        "a": request.client,
        "l": "-",
        "u": escape(request.user),
        "r": f"{request.method} {target} HTTP/1.1",
        "s": str(request.status),
        "b": str(request.bytes or "-"),
        "B": str(request.bytes),
        "D": str(request.micros if tomcat >= 10 else request.micros // 1000),
        "T": str(request.micros // 10**6) if tomcat >= 10 else f"{request.micros // 1000 / 1000:.3f}",
        "m": request.method,
        "U": escape(request.path),
        "q": no_query if request.query is None else "?" + (request.query and escape(request.query)),
        "H": "HTTP/1.1",
        "I": "http-nio-8080-exec-1",
        "p": "8080",
        "X": request.end,
        "i": escape({"Referer": request.referer, "User-Agent": request.agent}.get(argument or "")),
    }
    return times[argument] if letter == "t" else values[letter]


def write_line(pattern: str, request: Request, tomcat: float) -> str:
    return re.sub(
        r"%(?:\{([^}]*)\})?([A-Za-z])",
        lambda match: write_code(match.group(2), match.group(1), request, tomcat),
        NAMED_PATTERNS.get(pattern, pattern),
    )


def as_utf_8(text: str | None) -> str | None:
    """A value as it comes back: pairs of surrogates joined, lone ones replaced, '-' and nothing absent."""
    if text in (None, "", "-"):
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def expected(pattern: str, request: Request, tomcat: float) -> AccessRecord:
    text = NAMED_PATTERNS.get(pattern, pattern)
    ms = round(request.at.timestamp() * 1000)
    ts = None if "t" not in re.findall(r"%(?:\{[^}]*\})?(\w)", text) else ms
    if "%t" in text:
        ts = ms // 1000 * 1000
    line = "%r" in text
    return AccessRecord(
        ts=ts,
        client=request.client if "%h" in text or "%a" in text else None,
        user=as_utf_8(request.user) if "%u" in text else None,
        method=request.method if line or "%m" in text else None,
        path=as_utf_8(request.path) if line or "%U" in text else None,
        query=None if request.query is None or not (line or "%q" in text) else as_utf_8(request.query) or request.query,
        protocol="HTTP/1.1" if line or "%H" in text else None,
        status=request.status,
        bytes=request.bytes if "%b" in text or "%B" in text else 0,
        duration_ms=(request.micros / 1000 if tomcat >= 10 else request.micros // 1000) if "%D" in text else None,
        referer=as_utf_8(request.referer) if "Referer" in text else None,
        user_agent=as_utf_8(request.agent) if "User-Agent" in text else None,
    )


def texts(without: str = "", min_size: int = 1) -> st.SearchStrategy[str]:
    """Any text, often of the characters that matter here; surrogates too, as Java has them."""
    awkward = "".join(set('"\\-[]? \t\n\u00e9\u20ac\U0001f600/%\x00\x7f') - set(without))
    characters = st.sampled_from(awkward) | st.characters(exclude_characters=without, exclude_categories=())
    return st.text(characters, min_size=min_size, max_size=20)


# Tomcat's own values have no blank in a path or query; a user name can have anything, here all but what begins the
# field that follows it in these patterns.
requests = st.builds(
    Request,
    at=st.builds(
        lambda at, quarters: at.replace(
            microsecond=at.microsecond // 1000 * 1000, tzinfo=timezone(timedelta(minutes=15 * quarters))
        ),
        st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)),
        st.integers(-48, 56),
    ),
    client=st.ip_addresses().map(lambda address: address.exploded),
    user=st.none() | texts(without="[|\t ").map(lambda name: name + " b c") | texts(without="[|\t "),
    method=st.sampled_from(["GET", "POST", "M-SEARCH", "get"]),
    path=texts(without=" ?", min_size=0).map(lambda rest: "/" + rest),
    query=st.none() | texts(without=" ", min_size=0),
    status=st.integers(100, 999),
    bytes=st.integers(0, 10**15),
    micros=st.integers(0, 10**12),
    referer=st.none() | texts(without="|"),
    agent=st.none() | texts(without="|").map(lambda text: text + "."),
    end=st.sampled_from("X+-"),
)


@given(st.sampled_from(PATTERNS), requests, st.sampled_from([8.5, 9, 10, 11]), st.sampled_from(["", "\r", "\r\n", " "]))
def test_what_tomcat_writes_is_read_back(pattern: str, request: Request, tomcat: float, line_end: str) -> None:
    line = write_line(pattern, request, tomcat) + line_end
    record = compile_pattern(pattern, tomcat).parse(line.encode("utf-8"))
    assert record == expected(pattern, request, tomcat)
    json.loads(encode(record, "shop", "web-1"))


PARSER = compile_patterns(PATTERNS, 10)
AT = datetime(2024, 2, 29, tzinfo=timezone.utc)
LINE = write_line(
    "combined", Request(AT, "10.0.0.1", None, "GET", "/", None, 200, 7, 1, None, "curl", "+"), 10
).encode()


@given(st.binary(max_size=300))
@example(b"\xed\xa0\x80")  # a surrogate in UTF-8's form
@example(b"\xff\xfe")
def test_any_bytes_give_a_record_or_a_parse_error(line: bytes) -> None:
    check(line)


@given(st.lists(st.tuples(st.integers(0, len(LINE)), st.binary(max_size=3), st.integers(0, 3)), max_size=6))
def test_any_damage_to_a_line_gives_a_record_or_a_parse_error(damage: list[tuple[int, bytes, int]]) -> None:
    line = LINE
    for at, inserted, removed in damage:
        line = line[:at] + inserted + line[at + removed :]
    check(line)


def check(line: bytes) -> None:
    columns, refused = PARSER.parse_many([line])
    for error in refused.values():
        assert error.reason in ("no_pattern_matches", "bad_timestamp")
        str(error).encode()
    for row in zip(*columns, strict=True):
        record = AccessRecord(*row)
        assert json.loads(encode(record, None, None))["bytes"] == record.bytes
    assert len(columns.ts) + len(refused) == 1


MIXED = compile_patterns(["combined", "common", '%h %u %{yyyy}t "%r" %s %b "%{x}i" "%{y}i"', "%t %m %U %q %H %D"], 10)
HEAD = b"10.0.0.1 - - [29/Feb/2024:00:00:00 +0000] "
KINDS = (
    LINE,
    LINE.replace(b"curl", b'c\\"url\\u0041'),
    LINE.replace(b"GET / HTTP/1.1", b"-"),
    LINE.replace(b"GET / HTTP/1.1", b"\\x16\\x03 a b"),
    LINE.replace(b"200 7", b"- -"),
    LINE.replace(b"200 7", b"1000 7"),
    LINE.replace(b"29/Feb/2024", b"30/Feb/2024"),
    HEAD + b'"GET /?a=b HTTP/1.1" 404 0',
    HEAD + b'"GET / HTTP/1.1" 404 0 \r\n',
    HEAD + b'"GET / HTTP/1.1" 404 0 "',
    b"[29/Feb/2024:00:00:00 +0000] null /a ?b=c null 12",
    b"[30/Feb/2024:00:00:00 +0000] GET /\\u0041 - HTTP/1.1 -3",
    b"\xff\x00",
    b"",
)


@given(st.lists(st.sampled_from(KINDS), max_size=20))
def test_a_line_is_read_the_same_whatever_lines_are_around_it(lines: list[bytes]) -> None:
    columns, refused = MIXED.parse_many(lines)
    alone = [MIXED.parse_many([line]) for line in lines]
    assert list(zip(*columns, strict=True)) == [row for each, _ in alone for row in zip(*each, strict=True)]
    expected = {place: str(errors[0]) for place, (_, errors) in enumerate(alone) if errors}
    assert {place: str(error) for place, error in refused.items()} == expected
