"""What is compiled for access lines gives what Python gives: the same records, refusals, JSON and windows."""

from __future__ import annotations

import struct
from datetime import date

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from parsers import _access as compiled_lines
from parsers import tomcat
from parsers.tomcat import AccessColumns, AccessParser, compile_pattern, compile_patterns, encode_many
from tables import _access as compiled_counts
from tables import access
from tables.access import AccessTable
from tables.histogram import bucket_of
from tables.memory import MemoryStore

COMBINED = '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i"'
STAMPS = ("[21/Nov/2026:06:12:20 +0100]", "[21/Nov/2026:06:12:21 +0000]", "[30/Feb/2026:06:12:20 +0000]", "[1]x")
TEXTS = (
    "-",
    "",
    "a",
    "a b",
    "null",
    'a"b',
    "a]",
    "é",
    "\\u00e9",
    'a\\"b',
    "x\t",
    "%",
    "?",
    "- ",
    "HTTP/1.1",
    "-5",
    "0",
)
NUMBERS = ("0", "-", "7", "200", "404", "0200", "999999999", "1000000000", "999999999999999999", "1" * 19, "7x")
TAKEN = (
    "0", "1", "1500", "2345678", "123456789012345678", "1.5", "0.001", "12.", ".5", "-3", "-", "0.0000001", "3.1415926",
    "99999999.999999", "100000000", "1.001", "4.35", "0.1", "123456789.123456789", "100000000000",
)  # fmt: skip
REQUESTS = (
    "GET / HTTP/1.1", "POST /a?b=c HTTP/2.0", "-", "GET /", "GET  HTTP/1.0", "GET /a b HTTP/1.1", "get / HTTP/1.1",
    'GET /a"b HTTP/1.1', "GET /? HTTP/1.1", "GET ?a?b HTTP/1.1", "GET - HTTP/1.1", "GET / HTTP/", "G / HTTP/1.1x", "-x",
    "GET /|x HTTP/1.1", "",
)  # fmt: skip
VALUES = {
    **{"%" + letter: ("10.0.0.1", "::1", *TEXTS) for letter in "hAvSmaUuI"},
    **{"%{" + name + "}i": TEXTS for name in ("Referer", "User-Agent", "other")},
    "%{X-Forwarded-For}i": ("10.0.0.1", "10.0.0.1, 10.0.0.2", "10.0.0.1,10.0.0.2", " a", ",", ", ", "a,b c", *TEXTS),
    **{"%" + letter: NUMBERS for letter in "sbBp"},
    **{"%" + letter: TAKEN for letter in ("D", "T", "{ns}T", "{us}T")},
    "%l": ("-", "-", "- ", "x"), "%H": ("HTTP/1.1", "HTTP/2", "", "null", "-", "http"), "%X": ("X", "+", "-", "?", "x"),
    "%t": STAMPS, "%{begin}t": STAMPS, "%{sec}t": ("1795241540", "x"), "%r": REQUESTS, "%q": ("?a=b", "-", "", "?"),
}  # fmt: skip
BETWEEN = (
    " ",
    " ",
    " ",
    ' "',
    '" ',
    '" "',
    "|",
    "\t",
    " [",
    "] ",
    ",",
    "a",
    "-",
    "7",
    "?",
    ":",
    ".",
    "%%",
    "",
    "é",
    '"',
)


@st.composite
def patterns_and_lines(draw: st.DrawFn) -> tuple[list[str], list[bytes]]:
    """Up to three patterns of any codes, and lines of them, often with something unusual in a field.

    One may begin as the one before it does: then most of its lines are of the first up to there.
    """
    patterns, lines, codes, known = [], [], [], []
    for _ in range(draw(st.integers(1, 3))):
        first = codes if draw(st.booleans()) else []
        codes = [*first, *draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=7))]
        between = draw(st.lists(st.sampled_from(BETWEEN), min_size=len(codes) + 1, max_size=len(codes) + 1))
        between = [draw(st.sampled_from(("", "", "["))), *between[1:-1], draw(st.sampled_from(("", "", '"', "]")))]
        if first:
            between[: len(known) - 1] = known[:-1]
        known = between
        patterns.append(between[0] + "".join(map("".join, zip(codes, between[1:], strict=True))))
        for _ in range(draw(st.integers(1, 4))):
            usual = draw(st.booleans())
            values = [VALUES[code][0] if usual else draw(st.sampled_from(VALUES[code])) for code in codes]
            end = draw(st.sampled_from(("", "", "\r", " \n", "x")))
            texts = [text.replace("%%", "%") for text in between]
            lines.append((texts[0] + "".join(map("".join, zip(values, texts[1:], strict=True))) + end).encode())
    return patterns, lines


@given(patterns_and_lines(), st.sampled_from((8.5, 9, 10.1)))
@settings(max_examples=400, deadline=None)
@example((["%r-%{Referer}i"], [b"--a"]), 10.1)  # the dash is not the request line
@example((["%{X-Forwarded-For}i,%u,%b"], [b"a,b,c,-"]), 10.1)
def test_any_pattern(case: tuple[list[str], list[bytes]], tomcat_release: float) -> None:
    try:
        parser = compile_patterns(case[0], tomcat_release)
    except ValueError:
        return
    check(parser, case[1])


PARSERS = [
    compile_patterns(patterns, release)
    for patterns in (
        ["combined", "common"],
        ["common", "combined"],
        ["combined", "common", COMBINED + " %D"],
        ["common", '%h %l %u %t "%r" %s %b %D', '%h %l %u %t "%r" %s %b "%u" %s %b'],
        [COMBINED + " %D", "common"],
        [COMBINED + " %T %D %X", COMBINED],
        ["%t\t%h\t%u\t%r\t%s\t%B", "combined"],
        ['%h %l %u %t "%m %U %H" %s %b [%I] %{X-Forwarded-For}i', "common"],
    )
    for release in (8.5, 10.1)
]
HEAD = b'10.0.0.1 - - [21/Nov/2026:06:12:20 +0100] "'
LINES = [
    HEAD + b'GET /item/7?n=1 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)"',
    HEAD + b'GET /item/7?n=1 HTTP/1.1" 200 512 "-" "Mozilla/5.0 (X11; Linux x86_64)" 12345',
    HEAD + b'POST /order HTTP/2.0" 503 - "https://shop/" "curl/8" 1.25 1250000 +',
    HEAD + b'-" 400 -',
    HEAD.replace(b"- -", b"- alice b") + b'GET / HTTP/1.1" 304 - "-" "-"',
    HEAD + b'GET /caf\\u00e9 HTTP/1.1" 404 0 "\xc3\xa9" "a\\"b"',
    HEAD + b"GET / HTTP/1.1\" 200 7 [exec-1] 192.0.2.1, 10.0.0.1",
    b'[21/Nov/2026:06:12:20 +0100]\t10.0.0.1\t-\tGET / HTTP/1.1\t200\t7',
]  # fmt: skip
AWKWARD = (
    b'"', b" ", b"\\", b"-", b"?", b"\t", b"\r", b"\n", b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xc3", b"[", b"]", b"0",
    b"HTTP/", b"9" * 20, b"x" * 70_000, b"null", b'" "',
)  # fmt: skip
PIECES = st.sampled_from(AWKWARD) | st.binary(max_size=2)
EDITS = st.lists(st.tuples(st.integers(0, 200), PIECES, st.integers(0, 4)), max_size=3)


@st.composite
def damaged_lines(draw: st.DrawFn) -> list[bytes]:
    """Real lines, most of them whole."""
    lines = []
    for line in draw(st.lists(st.sampled_from(LINES), max_size=12)):
        if draw(st.integers(0, 2)) == 0:
            for at, piece, removed in draw(EDITS):
                line = line[:at] + piece + line[at + removed :]
        lines.append(line)
    return lines


@given(st.sampled_from(PARSERS), damaged_lines())
@settings(max_examples=400, deadline=None)
@example(PARSERS[0], [])
@example(PARSERS[0], [b"", b" ", b"\x00", b"-" * 70_000])
def test_any_damage(parser: AccessParser, lines: list[bytes]) -> None:
    check(parser, lines)


def check(parser: AccessParser, lines: list[bytes]) -> None:
    """Parse, encode and count in both ways."""
    columns, refused = parser.parse_many(lines)
    expected, errors = parser.match_many(lines)
    rows = list(zip(*expected, strict=True))
    assert list(map(same, zip(*columns, strict=True))) == list(map(same, rows))
    assert {place: (error.reason, str(error)) for place, error in refused.items()} == {
        place: (error.reason, str(error)) for place, error in errors.items()
    }
    about = ["shop", None, 'a"b\ud800'] * len(rows), [None, "web-1", "é"] * len(rows), [5, None, 2**63, -7] * len(rows)
    about = [column[: len(rows)] for column in about]
    assert encode_many(columns, *about) == encode_many(expected, *about)
    places = list(range(len(rows)))[::-2]
    assert list(map(same, zip(*columns.take(places), strict=True))) == [same(rows[place]) for place in places]
    for first in {0, len(rows) // 2, len(rows)}:
        assert stored(columns.take(range(first, len(rows)))) == stored(expected.take(range(first, len(rows))))


def same(row: tuple) -> tuple:
    """A row that is equal only to one of the same types: 1 is not 1.0 here."""
    return tuple((type(value), value) for value in row)


SOURCES = [("shop", "a"), ("shop", "b"), ("blog", "a"), (None, None)]


def stored(columns, cuts=(), sources=SOURCES, max_keys=3):
    """The stored windows, in the order in which they are written."""
    store = MemoryStore()
    table = AccessTable(store, max_keys)
    records = len(columns.ts)
    changes = {}
    for first, end in zip((0, *cuts), (*cuts, records), strict=True):
        if first < end:
            places = range(max(first - 2, 0), end)  # what is counted already is not counted again
            of = [sources[place * 7 // 3 % len(sources)] for place in places]
            table.add_many(0, list(places), of, columns.take(places))
            if end % 2:
                table.collect(changes)
                store.write(changes)
    table.collect(changes)
    return list(changes.items())


texts = st.sampled_from(["/", "/a", "/b", "/é", "/" + "x" * 500, "/" + "x" * 501, "", "other"]) | st.text(max_size=3)
rows = st.tuples(
    st.none() | st.integers(0, 2**40), *[st.none() | texts] * 6,
    st.none() | st.sampled_from((200, 200, 399, 400, 499, 500, 2**31 - 1, 2**31)) | st.integers(0, 40),
    st.sampled_from((0, 7, 2**32 - 1, 2**62 - 1, 2**62, 2**70)),
    st.none() | st.floats(0, 4000)
    | st.sampled_from((0.1, 0.2, 0.7, 0.0, 1e-9, 1e12, 1e13, 1e18, float("inf"), float("nan"), 3)),
    *[st.none() | texts] * 2,
)  # fmt: skip


@given(st.lists(rows, max_size=40), st.data())
@settings(max_examples=300, deadline=None)
def test_any_numbers_are_counted_the_same(records: list[tuple], data: st.DataObject) -> None:
    columns = list(zip(*records, strict=True)) or [()] * 12
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=4)))
    sources = data.draw(st.sampled_from([SOURCES, SOURCES[:1], [(str(number), None) for number in range(200)]]))
    keys = data.draw(st.sampled_from((1, 3, 1000)))
    expected = stored(AccessColumns(*columns), sources=sources, max_keys=keys)
    assert dict(stored(compiled_lines.LineColumns(*columns), cuts, sources, keys)) == dict(expected)
    assert stored(compiled_lines.LineColumns(*columns), (), sources, keys) == expected


def test_many_of_everything_in_one_stretch() -> None:
    """More statuses, sources and paths than are kept apart at a time, and several that share a slot."""
    records = [
        (0, None, None, "GET", f"/{number * 7 % 90}", None, None, number * 13 % 97, 2**61, 9 / (number + 1), None, None)
        for number in range(400)
    ]  # fmt: skip
    columns = list(zip(*records, strict=True))
    for hosts, keys in ((1, 1000), (3, 1), (3, 2), (200, 1000), (200, 100), (200, 2)):
        for services in (1, hosts):
            sources = [(f"shop-{number % services}", f"web-{number}") for number in range(hosts)]
            expected = stored(AccessColumns(*columns), (), sources, keys)
            assert stored(compiled_lines.LineColumns(*columns), (), sources, keys) == expected


@given(st.floats(0, 1e300))
@example(0.0)
@example(1e-9)
@example(1e18)
def test_buckets(value: float) -> None:
    assert compiled_counts.bucket_of(value) == bucket_of(value)


STAMPED = compile_patterns(["%t %s"], 10.1)
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Foo", "JAN", "jan")


@given(
    st.integers(0, 32), st.sampled_from(MONTHS), st.integers(0, 9999), st.integers(0, 25), st.integers(0, 61),
    st.integers(0, 62), st.sampled_from("+- "), st.integers(0, 20), st.integers(0, 61), st.integers(0, 30),
    st.sampled_from("][/: +x1"),
)  # fmt: skip
@settings(max_examples=1000, deadline=None)
@example(29, "Feb", 2000, 23, 59, 60, "+", 18, 0, 30, " ")
@example(29, "Feb", 1900, 0, 0, 0, "-", 18, 1, 30, " ")
@example(1, "Jan", 1, 0, 0, 0, "+", 18, 0, 30, " ")
@example(1, "Jan", 0, 0, 0, 0, "+", 18, 0, 30, " ")
def test_stamps(
    day: int, month: str, year: int, hour: int, minute: int, second: int, sign: str, zone_h: int, zone_m: int,
    at: int, other: str,
) -> None:  # fmt: skip
    stamp = f"[{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} {sign}{zone_h:02}{zone_m:02}]"
    for text in (stamp, stamp[:at] + other + stamp[at + 1 :]):
        check(STAMPED, [f"{text} 200".encode()])


def test_every_day_of_four_centuries() -> None:
    days = (date.fromordinal(number) for number in range(date(1900, 1, 1).toordinal(), date(2301, 1, 1).toordinal()))
    lines = [f"[{day.day:02}/{MONTHS[day.month - 1]}/{day.year}:23:59:59 -0130] 200".encode() for day in days]
    columns, refused = STAMPED.parse_many(lines)
    assert not refused
    assert isinstance(columns, compiled_lines.LineColumns)
    assert columns.ts == tuple(STAMPED.match_many(lines)[0].ts)


TAKEN_BY = {code: compile_patterns([code + " %h"], 10.1) for code in ("%D", "%T", "%{ns}T", "%{ms}T")}


@given(st.integers(0, 10**18 - 1), st.integers(0, 9), st.sampled_from(sorted(TAKEN_BY)))
@settings(max_examples=500, deadline=None)
def test_durations_and_their_json(number: int, places: int, code: str) -> None:
    digits = f"{number:0{places + 1}}"
    text = digits[: len(digits) - places] + ("." + digits[len(digits) - places :] if places else "")
    parser = TAKEN_BY[code]
    columns, _ = parser.parse_many([f"{text} h".encode()])
    expected, _ = parser.match_many([f"{text} h".encode()])
    assert [struct.pack("d", value) for value in columns.duration_ms] == [
        struct.pack("d", value) for value in expected.duration_ms
    ]
    (value,) = encode_many(columns, ["s"], ["h"], [1])
    assert b'"duration_ms":' + orjson.dumps(expected.duration_ms[0]) + b"," in value


def test_without_the_compiled_parts_it_is_python_that_does_it(monkeypatch) -> None:
    expected = PARSERS[0].parse_many(LINES)[0]
    windows = stored(expected)
    monkeypatch.setattr(tomcat, "compiled", None)
    monkeypatch.setattr(access, "compiled", None)
    columns, _ = compile_patterns(["combined", "common"], 8.5).parse_many(LINES)
    assert isinstance(columns, AccessColumns)
    assert list(zip(*columns, strict=True)) == list(zip(*expected, strict=True))
    assert stored(columns) == stored(expected) == windows


def test_usual_lines_are_not_left_to_python() -> None:
    lines = [LINES[0], LINES[3]]
    columns, refused = PARSERS[0].parse_many(lines)
    assert tomcat.compiled is compiled_lines
    assert not refused
    assert isinstance(columns, compiled_lines.LineColumns)
    assert columns.encode(["s", "s"], ["h", "h"], [1, 1])[1] == []


def test_lines_that_are_certainly_not_of_the_first_patterns_are_not_left_to_python() -> None:
    third = LINES[1]
    columns, refused = compile_patterns(["combined", "common", COMBINED + " %D"], 10.1).parse_many([third, LINES[3]])
    assert not refused
    assert isinstance(columns, compiled_lines.LineColumns)
    assert columns.duration_ms == (12.345, None)
    splitter = compiled_lines.Splitter([compile_pattern(each, 10.1).usual for each in ("common", COMBINED + " %D")])
    assert splitter.split([third, LINES[3]])[1] == []
    # A look ahead to the end of the line: the second user may be part of the first.
    splitter = compiled_lines.Splitter([compile_pattern(each, 10.1).usual for each in ("%u %s", "%u %s %s")])
    assert splitter.split([b"alice 200 200"])[1] == [0]
