"""Access lines one by one: the codes of a pattern, odd request lines, escapes, hostile lines, and the JSON."""

import json
import time
from typing import Any

import pytest

from parsers.errors import ParseError
from parsers.tomcat import AccessRecord, compile_pattern, compile_patterns, encode

HEAD = '10.0.0.1 - - [29/Feb/2024:12:34:56 +0000] "'
TS = 1709210096000
NOTHING = AccessRecord(None, None, None, None, None, None, None, None, 0, None, None, None)


def parse(pattern: str, line: str | bytes, tomcat: float = 10) -> AccessRecord:
    return compile_pattern(pattern, tomcat).parse(line if isinstance(line, bytes) else line.encode())


def reason(pattern: str, line: str | bytes, tomcat: float = 10) -> str:
    with pytest.raises(ParseError) as caught:
        parse(pattern, line, tomcat)
    assert len(str(caught.value)) < 2000
    return caught.value.reason


def test_common() -> None:
    assert parse("common", HEAD + 'GET /cart?id=7 HTTP/1.1" 200 5120') == AccessRecord(
        TS, "10.0.0.1", None, "GET", "/cart", "id=7", "HTTP/1.1", 200, 5120, None, None, None
    )


def test_combined() -> None:
    line = '2001:db8:0:0:0:0:0:1 - alice [29/Feb/2024:12:34:56 +0000] "POST / HTTP/2.0" 304 - "https://a/" "curl/8"'
    assert parse("combined", line) == AccessRecord(
        TS, "2001:db8:0:0:0:0:0:1", "alice", "POST", "/", None, "HTTP/2.0", 304, 0, None, "https://a/", "curl/8"
    )


@pytest.mark.parametrize(
    ("pattern", "tomcat", "line", "expected"),
    [
        ("%a", 10, "10.0.0.1", {"client": "10.0.0.1"}),
        ("%{remote}a %{peer}a", 10, "10.0.0.1 10.0.0.9", {"client": "10.0.0.1"}),
        ("%{peer}a", 10, "10.0.0.9", {"client": "10.0.0.9"}),
        ("%a %h", 10, "10.0.0.1 web.example", {"client": "web.example"}),
        ("%h", 10, "-", {}),
        ("%{X-Forwarded-For}i %l", 10, "192.0.2.1, 10.0.0.1 -", {"client": "192.0.2.1"}),
        ("%{x-forwarded-for}i", 10, "192.0.2.1", {"client": "192.0.2.1"}),
        ("%{x-forwarded-for}i", 10, "192.0.2.1\r\n", {"client": "192.0.2.1"}),
        ('"%{X-Forwarded-For}i"', 10, '"192.0.2.1,10.0.0.1"', {"client": "192.0.2.1"}),
        ("%{X-Forwarded-For}i %l", 10, "- -", {}),
        ("%A %p %{local}p %{remote}p", 10, "10.0.0.2 8080 8080 50123", {}),
        ("%h:%{remote}p %s", 10, "0:0:0:0:0:0:0:1:50123 200", {"client": "0:0:0:0:0:0:0:1", "status": 200}),
        ("%b", 10, "-", {"bytes": 0}),
        ("%B", 10, "0", {"bytes": 0}),
        ("%B", 10, "999999999999999999", {"bytes": 999999999999999999}),
        ("%B %b", 10, "12 13", {"bytes": 13}),
        ("%D", 8.5, "1500", {"duration_ms": 1500.0}),
        ("%D", 9, "1500", {"duration_ms": 1500.0}),
        ("%D", 10, "1500", {"duration_ms": 1.5}),
        ("%D", 10.1, "12345", {"duration_ms": 12.345}),
        ("%D", 11, "1", {"duration_ms": 0.001}),
        ("%D", 9, "-3", {"duration_ms": 0.0}),  # the clock was set back
        ("%T", 8.5, "1.001", {"duration_ms": 1001.0}),
        ("%T", 9, "0.030", {"duration_ms": 30.0}),
        ("%T", 10, "2", {"duration_ms": 2000.0}),
        ("%{s}T", 10, "2", {"duration_ms": 2000.0}),
        ("%{fracsec}T", 10, "4.350", {"duration_ms": 4350.0}),
        ("%{ms}T", 10, "4350", {"duration_ms": 4350.0}),
        ("%{us}T", 10, "4350", {"duration_ms": 4.35}),
        ("%{ns}T", 10, "4350", {"duration_ms": 0.00435}),
        ("%{ns}T", 10, "86400000000000", {"duration_ms": 86_400_000.0}),
        ("%T %D", 10, "0 4350", {"duration_ms": 4.35}),  # the finest unit counts
        ("%F %s", 10, "- 200", {"status": 200}),
        ("%F %s", 10, "12 200", {"status": 200}),
        ("%H", 10, "HTTP/1.0", {"protocol": "HTTP/1.0"}),
        ("%H %s", 10, " 200", {"status": 200}),  # HTTP/0.9
        ("%H %s", 10, "null 400", {"status": 400}),
        ("[%I] %s", 10, "[http-nio2-[::1]-auto-1-exec-3] 200", {"status": 200}),
        ("%I %s", 10, "my pool thread 7 200", {"status": 200}),
        ("%l %s", 10, "- -", {}),
        ("%m %U%q %s", 10, "GET /a?b=c 200", {"method": "GET", "path": "/a", "query": "b=c", "status": 200}),
        ("%m %U%q %s", 10, "GET /a- 200", {"method": "GET", "path": "/a", "status": 200}),
        ("%m %U%q %s", 8.5, "GET /a- 200", {"method": "GET", "path": "/a-", "status": 200}),
        ("%m %U%q %s", 10, "GET /a--? 200", {"method": "GET", "path": "/a--", "query": "", "status": 200}),
        ("%U%q", 8.5, "/a?", {"path": "/a", "query": ""}),
        ("%q %U", 10, "- /a", {"path": "/a"}),
        ("%q %U", 10, " /a", {"path": "/a"}),
        ("%q %U", 10, "?x /a", {"path": "/a", "query": "x"}),
        ("%U %q", 10, "/a ", {"path": "/a"}),
        ("%U %q", 10, "/a ?a=%20 \r\n", {"path": "/a", "query": "a=%20"}),
        ("%m %U", 10, "- -", {}),
        ("%m %U", 10, "null null", {"path": "null"}),
        ("%r %m", 10, "GET /x HTTP/1.1 POST", {"method": "GET", "path": "/x", "protocol": "HTTP/1.1"}),
        ("%s", 10, "-", {}),
        ("%s", 10, "0", {"status": 0}),
        ("%s", 10, "12345", {"status": 12345}),
        ("%S %v %s", 10, "0A1B shop.example 200", {"status": 200}),
        ("%u %s", 10, "-  200", {"user": "- ", "status": 200}),
        ("%u|%s", 10, "a b|200", {"user": "a b", "status": 200}),
        ("%u %s %b", 10, "a 7 b 200 9", {"user": "a 7 b", "status": 200, "bytes": 9}),
        ("%X%X%X%X %s", 10, "X+-? 200", {"status": 200}),
        ("%b%X", 10, "12-", {"bytes": 12}),
        ("%b%X", 10, "-+", {}),
        ("%{c}L %s", 10, "1f 200", {"status": 200}),
        ("%{Cookie}i|%{Server}o|%{sid}c|%{a}r|%{b}s", 10, "a=1; b=2|x, y|1,2|\\u00e4|-", {}),
        ("%{referer}i|%{USER-AGENT}i", 10, "a|b", {"referer": "a", "user_agent": "b"}),
        ("%{Referer}o|%{User-Agent}o", 10, "a|b", {}),  # response headers
        ("100%% %s", 10, "100% 200", {"status": 200}),
        ("100%% %s", 10, "100???%??? 200", {"status": 200}),  # what releases up to 11.0.15 make of it
        ("%s%%", 10, "200%", {"status": 200}),
        ("%s%%", 10, "200???%???", {"status": 200}),
        ("%u%%%s", 10, "a%%200", {"user": "a%", "status": 200}),
        ("a.(b)[c]*%s $^", 10, "a.(b)[c]*200 $^", {"status": 200}),
        ("ä\\%s\\", 10, "ä\\200\\", {"status": 200}),
        ("\\\\%s\\\"", 10, '\\\\200\\"', {"status": 200}),
        ("%s\t", 10, "200", {"status": 200}),  # blanks at the end of a pattern or a line are nobody's
        ("%s", 10, "200 \t\r\n", {"status": 200}),
        ("%u", 10, "a b \r", {"user": "a b"}),
    ],
)  # fmt: skip
def test_codes(pattern: str, tomcat: float, line: str, expected: dict[str, Any]) -> None:
    assert parse(pattern, line, tomcat) == NOTHING._replace(**expected)


@pytest.mark.parametrize(
    ("request_line", "method", "path", "query", "protocol"),
    [
        ("-", None, None, None, None),
        ("", None, None, None, None),
        ("GET null HTTP/1.1", "GET", "null", None, "HTTP/1.1"),
        ("GET - HTTP/1.1", "GET", None, None, "HTTP/1.1"),  # newer releases, where older ones write null
        ("GET /", "GET", "/", None, None),
        ("GET / ", "GET", "/", None, None),
        ("GET /a null", "GET", "/a", None, None),
        ("GET /a?b=c -", "GET", "/a", "b=c", None),
        ("GET", "GET", None, None, None),
        ("GET HTTP/1.1", "GET", None, None, "HTTP/1.1"),
        ("GET  HTTP/1.1", "GET", None, None, "HTTP/1.1"),
        ("GET /a b?c d HTTP/1.1", "GET", "/a b", "c d", "HTTP/1.1"),
        ("GET /?a?b HTTP/1.1", "GET", "/", "a?b", "HTTP/1.1"),
        ("GET ?a HTTP/1.1", "GET", None, "a", "HTTP/1.1"),
        ("get /a HTTP/1.1", "get", "/a", None, "HTTP/1.1"),
        ("M-SEARCH * HTTP/1.1", "M-SEARCH", "*", None, "HTTP/1.1"),
        ("PRI * HTTP/2.0", "PRI", "*", None, "HTTP/2.0"),
        ("GET /a HTTP/1.1x", "GET", "/a", None, "HTTP/1.1x"),
        ('GET /a\\"b?c=\\"d\\" HTTP/1.1', "GET", '/a"b', 'c="d"', "HTTP/1.1"),
        ('GET /a"b?c="d HTTP/1.1', "GET", '/a"b', 'c="d', "HTTP/1.1"),  # not escaped by 10.1.34
        ("GET /a\\\\ HTTP/1.1", "GET", "/a\\", None, "HTTP/1.1"),
        ("GET /caf\\u00e9 HTTP/1.1", "GET", "/café", None, "HTTP/1.1"),
        ("GET http://x/y HTTP/1.1", "GET", "http://x/y", None, "HTTP/1.1"),
        ("\\u0016\\u0003\\u0001", "\x16\x03\x01", None, None, None),
        (
            "<script>alert(1)</script> ../../etc \\u001b[31m",
            "<script>alert(1)</script>",
            "../../etc \x1b[31m",
            None,
            None,
        ),
    ],
)
@pytest.mark.parametrize("pattern", ["common", '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'])
def test_request_lines(
    pattern: str, request_line: str, method: str | None, path: str | None, query: str | None, protocol: str | None
) -> None:
    tail = "" if pattern == "common" else ' "-" "-"'
    record = parse(pattern, HEAD + request_line + '" 400 7' + tail)
    assert record == NOTHING._replace(
        ts=TS, client="10.0.0.1", method=method, path=path, query=query, protocol=protocol, status=400, bytes=7
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("-", None),
        ("", None),
        ('Mo \\"z\\"', 'Mo "z"'),
        ("back\\\\slash\\\\", "back\\slash\\"),
        ('\\\\\\"', '\\"'),
        ("a\\tb\\nc\\rd\\fe", "a\tb\nc\rd\fe"),
        ("\\u00e4\\u20AC\\u0000", "ä€\x00"),
        ("\\ud83d\\ude00", "😀"),
        ("\\ud83d \\ude00 \\ud83d", "\ufffd \ufffd \ufffd"),
        ("\\ud83d\\u0041", "\ufffdA"),
        ("\\ude00\\ud83d", "\ufffd\ufffd"),
        ("\\\\u00e4", "\\u00e4"),
        ("\\\\\\u00e4", "\\ä"),
        ("\\x41 \\u00g0 \\u12", "\\x41 \\u00g0 \\u12"),  # nothing that Tomcat writes stays as it is
        ("it\\'s", "it's"),
        ("😀 raw ä", "😀 raw ä"),
    ],
)
def test_escapes_are_undone(written: str, value: str | None) -> None:
    record = parse("combined", HEAD + f'GET / HTTP/1.1" 200 7 "{written}" "{written}"')
    assert (record.referer, record.user_agent) == (value, value)
    for text in (written,) if written else ():
        assert parse("%u", text).user == value


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    line = HEAD.encode() + b'GET /caf\xe9 HTTP/1.1" 200 7 "\xc3" "\xf0\x9f\x98"'
    record = parse("combined", line, 8.5)
    assert (record.path, record.referer, record.user_agent) == ("/caf\ufffd", "\ufffd", "\ufffd")


def test_quotes_that_old_releases_did_not_escape() -> None:
    line = HEAD + 'GET / HTTP/1.1" 200 7 "a"b" "c"d"'
    assert parse("combined", line, 8.5)[-2:] == ('a"b', 'c"d')
    assert reason("combined", line, 10) == "no_pattern_matches"


@pytest.mark.parametrize("user", ["alice", "alice smith", " a  b ", "a [b] c", "[29/Feb/2024 x", 'a \\"b\\"', "a\\\\"])
def test_user_names(user: str) -> None:
    line = f'10.0.0.1 - {user} [29/Feb/2024:12:34:56 +0000] "GET / HTTP/1.1" 200 7'
    assert parse("common", line).user == user.replace('\\"', '"').replace("\\\\", "\\")


COMMON = HEAD + 'GET / HTTP/1.1" 200 7'


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("common", ""),
        ("common", " " + COMMON),
        ("common", COMMON + " extra"),
        ("common", COMMON + "x"),
        ("common", COMMON + ' "-" "curl"'),
        ("combined", COMMON),
        ("combined", COMMON + ' "-"'),
        ("combined", COMMON + ' "-" "curl" 12'),
        ("common", COMMON[:-1] + COMMON),  # torn writes
        ("common", COMMON + COMMON),
        ("common", COMMON + "\n" + COMMON),
        ("combined", f'{COMMON} "-" "curl"\n{COMMON} "-" "curl"'),
        ("combined", f'{COMMON} "-" "curl"{COMMON} "-" "curl"'),
        ("common", HEAD + 'GET / HTTP/1.1" 200 seven'),
        ("common", HEAD + 'GET / HTTP/1.1" 2e2 7'),
        ("common", HEAD + 'GET / HTTP/1.1" 200 ٧'),
        ("common", HEAD + 'GET / HTTP/1.1" 200 -7'),
        ("common", HEAD + 'GET / HTTP/1.1" 200 9999999999999999999'),
        ("common", HEAD + 'GET / HTTP/1.1\\" 200 7'),
        ("common", COMMON.replace("[29", "29")),
        ("%s", "200 200"),
        ("%X", "*"),
        ("%{c}L", "a b"),
    ],
)
def test_lines_that_are_of_no_pattern(pattern: str, line: str) -> None:
    assert reason(pattern, line) == "no_pattern_matches"


def test_patterns_are_tried_in_order_and_a_bad_time_is_told() -> None:
    parser = compile_patterns(["%h %t", "%u %{Referer}i"], 10)
    assert parser.parse(b"a [29/Feb/2024:12:34:56 +0000]").client == "a"
    assert parser.parse(b"a [30/Feb/2024:12:34:56 +0000]").user == "a"  # the second takes it
    with pytest.raises(ParseError) as caught:
        compile_patterns(["%h %t", "%s"], 10).parse(b"a [30/Feb/2024:12:34:56 +0000]")
    assert caught.value.reason == "bad_timestamp"


def test_parse_many_keeps_the_order_and_gives_errors_by_place() -> None:
    columns, refused = compile_patterns(["combined", "common"], 10).parse_many(
        [COMMON.encode(), b"<b>no</b>\x00\xff", (COMMON + ' "-" "curl"').encode()]
    )
    assert columns.user_agent == (None, "curl")
    assert [(place, error.reason) for place, error in refused.items()] == [(1, "no_pattern_matches")]


MEGABYTE = 1 << 20
FILLINGS = ['"', "\\", '\\"', " ", '" ', ' "', "?", "[1", " [29/Feb/2024:12:34:56 +0000] ", '" 200 7', "- ", "%",
            "\x00", "\\u0041", "\\ud800", "😀", "\t", ",", "a", "1"]  # fmt: skip
HOSTILE_PATTERNS = ["combined", "%{a}i %{b}i %u %t", "%U%q %{X-Forwarded-For}i|%I", "%h:%p [%I]%% %r", "%u"]


@pytest.mark.parametrize("pattern", HOSTILE_PATTERNS)
@pytest.mark.parametrize("filling", FILLINGS)
def test_a_hostile_megabyte_is_read_or_refused_in_linear_time(pattern: str, filling: str) -> None:
    many = filling * (MEGABYTE // len(filling.encode()))
    parser = compile_pattern(pattern, 8.5)
    for line in (
        many,
        f"10.0.0.1 - {many} [29/Feb/2024:12:34:56 +0000] \"GET / HTTP/1.1\" 200 7",
        HEAD + many + '" 200 7',
        HEAD + f'GET / HTTP/1.1" 200 7 "{many}" "{many}"',
        HEAD + f'GET / HTTP/1.1" 200 7 "{many}" "{many}" no',
        HEAD + 'GET / HTTP/1.1" 200 7 "-" "-"' + many,
    ):  # fmt: skip
        body = line.encode()
        started = time.process_time()
        try:
            parser.parse(body)
        except ParseError as error:
            refused = str(error)
        else:
            refused = ""
        assert time.process_time() - started < 0.5  # most take a hundredth of this
        assert len(refused) < 2000


def test_json_is_as_the_contract_says() -> None:
    record = parse("combined", HEAD + 'GET /ä?x=\\"1\\" HTTP/1.1" 200 7 "-" "\\ud800 <b> \\u0000"')
    expected = {
        "ts": TS, "service": "shop", "host": None, "client": "10.0.0.1", "user": None, "method": "GET", "path": "/ä",
        "query": 'x="1"', "protocol": "HTTP/1.1", "status": 200, "bytes": 7, "duration_ms": None, "referer": None,
        "user_agent": "\ufffd <b> \x00",
    }  # fmt: skip
    decoded = json.loads(encode(record, "shop", None))
    assert decoded == expected
    assert list(decoded) == list(expected)


def test_json_takes_the_given_time_only_where_the_line_has_none() -> None:
    assert json.loads(encode(NOTHING, None, "h", 5))["ts"] == 5
    assert json.loads(encode(NOTHING._replace(ts=7), None, "h", 5))["ts"] == 7
    assert json.loads(encode(NOTHING, None, "h"))["ts"] is None


def test_json_is_made_whatever_the_headers_say() -> None:
    decoded = json.loads(encode(NOTHING, "a\ud800b", "\udfff"))
    assert (decoded["service"], decoded["host"]) == ("a\ufffdb", "\ufffd")
