"""Lines that real Tomcats (8.5 to 11) wrote for known requests, under many patterns: tests/data/tomcat/README.md."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from parsers.tomcat import AccessRecord, compile_pattern, compile_patterns

DATA = Path(__file__).parents[2] / "data" / "tomcat"
RELEASES = {"8.5.100": 8.5, "9.0.98": 9, "10.1.34": 10, "11.0.15": 11}
LOGS: dict[str, dict[str, list[str]]] = {
    release: json.loads((DATA / f"tomcat-{release}.json").read_text("utf-8"))["logs"] for release in RELEASES
}
NEEDS_10_1 = ("%{ns}T", "%{c}L")


class Request(NamedTuple):
    method: str | None
    path: str | None
    query: str | None
    protocol: str | None
    status: int


OK, HTTP_1_1 = 200, "HTTP/1.1"
REQUESTS = [
    Request("GET", "/", None, HTTP_1_1, OK),
    Request("GET", "/a/b", "q=1&x=%20y", HTTP_1_1, OK),
    Request("GET", "/", "", HTTP_1_1, OK),
    Request("POST", "/p", "session=1&empty=1&status=404", HTTP_1_1, 404),
    Request("GET", '/q"uote\\x', 'a="b\\', HTTP_1_1, 400),
    Request("GET", "/dash-", None, HTTP_1_1, OK),
    Request("GET", "/a", None, None, 400),  # GET /a b c HTTP/1.1
    Request(None, None, None, None, 400),  # a quote in the method
    Request(None, None, None, None, 400),  # the first bytes of a TLS handshake
    Request("GET", "/old", None, None, OK),  # HTTP/0.9
    Request("GET", "/nine", None, "HTTP/9.9", 505),
    Request(None, None, None, None, 400),  # GET and nothing else
    Request("GET", "null", None, HTTP_1_1, 400),  # a byte above 127 in the path
    Request("GET", "/host", None, HTTP_1_1, 400),  # no Host header
    Request("GET", "null", None, HTTP_1_1, 400),  # < in the path
    Request("OPTIONS", "*", None, HTTP_1_1, OK),
    Request("GET", "/abs", "z=1", HTTP_1_1, OK),  # an absolute URI
]
CASES = [
    (release, pattern)
    for release in RELEASES
    for pattern in LOGS[release]
    if RELEASES[release] >= 10 or not any(code in pattern for code in NEEDS_10_1)
]


def read(release: str, pattern: str) -> list[AccessRecord]:
    parser = compile_pattern(pattern, RELEASES[release])
    return [parser.parse(line.encode()) for line in LOGS[release][pattern]]


def column(release: str, pattern: str, name: str) -> list[Any]:
    return [getattr(record, name) for record in read(release, pattern)]


@pytest.mark.parametrize(("release", "pattern"), CASES)
def test_every_line_is_read_and_says_what_was_requested(release: str, pattern: str) -> None:
    records = read(release, pattern)

    assert len(records) == len(REQUESTS)
    if "%s" in pattern or pattern in ("common", "combined"):
        assert [record.status for record in records] == [request.status for request in REQUESTS]
    if "%r" in pattern or pattern in ("common", "combined"):
        assert [record[3:7] for record in records] == [request[:4] for request in REQUESTS]
    if "%H" in pattern:
        assert [record.protocol for record in records][:7] == [request.protocol for request in REQUESTS][:7]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("pattern", ["%m %U%q %s %B", "%m %U %q", '"%m %U%q %H" %s', "%U%q"])
def test_path_and_query_of_their_own(release: str, pattern: str) -> None:
    # These releases write nothing for %q where there is no query, later ones '-': a '-' at the end of a path is taken
    # for the latter, except for 8.5. Where there was no request line, they write `null`.
    for record, request in zip(read(release, pattern), REQUESTS, strict=True):
        path = request.path or "null"
        if path == "/dash-" and "%U%q" in pattern and RELEASES[release] >= 9:
            path = "/dash"
        assert (record.path, record.query) == (path, request.query)
        assert record.method == (request.method if "%m" in pattern else None)


@pytest.mark.parametrize("release", RELEASES)
def test_headers_are_unescaped(release: str) -> None:
    records = read(release, "combined")

    assert records[1].referer == 'http://r.example/?a="b"'
    assert records[1].user_agent == 'Mo "z" \\ é end\\'
    assert {record.referer for record in records[2:]} == {None}
    assert column(release, "%{User-Agent}i", "user_agent") == [record.user_agent for record in records]
    assert column(release, "%h\t%u\t%r\t%s\t%b\t%{User-Agent}i", "user_agent") == [
        record.user_agent for record in records
    ]


@pytest.mark.parametrize("release", RELEASES)
def test_bytes_and_client(release: str) -> None:
    sizes = column(release, "common", "bytes")

    assert sizes[:4] == [6, 6, 6, 0]
    assert sizes == column(release, "%m %U%q %s %B", "bytes")
    assert set(column(release, "common", "client")) == {"127.0.0.1"}
    forwarded = column(release, '%{X-Forwarded-For}i %l %u %t "%r" %s %b', "client")
    assert forwarded == [None, "1.2.3.4"] + [None] * 15


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    "pattern",
    [
        "combined",
        "%{sec}t.%{msec_frac}t %{msec}t %s",
        "%{begin:sec}t %{end:msec}t %{begin}t %{end}t %s",
        "%{yyyy-MM-dd'T'HH:mm:ss.SSSXXX}t %s",
        "%{EEE, d MMM yyyy h:mm:ss.S a z}t|%s",
        "%{'Ä'yyyyMMdd HHmmss SSS Z}t %s",
    ],
)
def test_every_way_to_write_the_time_says_the_same(release: str, pattern: str) -> None:
    expected = column(release, "common", "ts")  # to the second; the valves wrote within a few milliseconds
    for ts, second in zip(column(release, pattern, "ts"), expected, strict=True):
        assert second - 100 <= ts < second + 1100


@pytest.mark.parametrize("release", ["8.5.100", "9.0.98"])
def test_durations_before_10_1_are_milliseconds(release: str) -> None:
    pattern = '%h %l %u %t "%r" %s %b %D %T %F'
    durations = column(release, pattern, "duration_ms")
    seconds = [line.split(" ")[-2] for line in LOGS[release][pattern]]

    assert all(duration == int(duration) for duration in durations)
    assert durations == [round(float(text) * 1000, 3) for text in seconds]


@pytest.mark.parametrize("release", ["10.1.34", "11.0.15"])
def test_durations_from_10_1_on_are_microseconds(release: str) -> None:
    pattern = "%{ns}T %{us}T %{ms}T %{fracsec}T %{s}T %D %T %s"
    durations = column(release, pattern, "duration_ms")  # nanoseconds, the finest

    for line, duration in zip(LOGS[release][pattern], durations, strict=True):
        ns, us, ms, fraction, seconds, bare_d, bare_t, _ = line.split(" ")
        assert duration == int(ns) / 1e6
        # What each unit would give alone agrees as far as it goes.
        for code, text, within in [
            ("%D", bare_d, 0.001), ("%{us}T", us, 0.001), ("%{ms}T", ms, 1), ("%{fracsec}T", fraction, 1),
            ("%{s}T", seconds, 1000), ("%T", bare_t, 1000),
        ]:  # fmt: skip
            alone = compile_pattern(code, RELEASES[release]).parse(text.encode()).duration_ms
            assert alone is not None
            assert 0 <= duration - alone < within + 1e-9


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("patterns", [["combined", "common"], ["common", "combined"]])
def test_neither_common_nor_combined_takes_the_others_lines(release: str, patterns: list[str]) -> None:
    parser = compile_patterns(patterns, RELEASES[release])
    for name in patterns:
        alone = read(release, name)
        columns, refused = parser.parse_many([line.encode() for line in LOGS[release][name]])
        assert [AccessRecord(*row) for row in zip(*columns, strict=True)] == alone
        assert refused == {}
