"""Flume's JSON as the contract reads it, word by word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from parsers import flume
from parsers.errors import ParseError
from parsers.event import Event
from parsers.flume import parse_array, parse_array_exactly, parse_ndjson
from parsers.packed import PackedEvents


def parsed(document: bytes) -> list[tuple[dict[str, str], bytes]]:
    events = [tuple(event) for event in parse_array(document)]
    assert events == [tuple(event) for event in parse_array_exactly(document)]
    return events


def scanned(document: bytes) -> Any:
    return flume.compiled.scan(document, flume._headers)


def test_events_keep_their_order() -> None:
    document = b'[{"headers": {"host": "web-1"}, "body": "one"}, {"headers": {"host": "web-2"}, "body": "two"}]'
    assert parse_array(document) == [Event({"host": "web-1"}, b"one"), Event({"host": "web-2"}, b"two")]


def test_an_empty_array_is_no_event() -> None:
    assert parse_array(b"[]") == []
    assert parse_array(b" [ ] \r\n") == []


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b"{}", ({}, b"")),
        (b'{"headers": {}}', ({}, b"")),
        (b'{"body": "x"}', ({}, b"x")),
        (b'{"headers": null, "body": null}', ({}, b"")),
        (b'{"headers": {"": ""}, "body": ""}', ({"": ""}, b"")),
        (b'{"more": [{"deep": null}], "body": "x"}', ({}, b"x")),
        (b'{"body": "a", "body": "b", "headers": {"k": "1", "k": "2"}}', ({"k": "2"}, b"b")),
        (b'{"headers": {"k": 1, "k": "2"}, "headers": {"n": 3}}', ({"n": "3"}, b"")),
        (b'{"body": "\\u00e9\\ud83d\\ude00\\u0000\\n"}', ({}, "é😀\0\n".encode())),
        ('{"headers": {"ключ": "значение"}, "body": "тело"}'.encode(), ({"ключ": "значение"}, "тело".encode())),
    ],
)
def test_what_is_optional_and_what_is_ignored(event: bytes, expected: tuple[dict[str, str], bytes]) -> None:
    assert parsed(b"[" + event + b"]") == [expected]


@pytest.mark.parametrize(
    "number",
    [
        "0",
        "-0",
        "1.0",
        "1.10",
        "1e5",
        "1E5",
        "1e+05",
        "-0.0",
        "9007199254740993",
        "1" * 400,
        "1e999",
        "-1e-999",
        "0.1e1",
    ],
)
def test_numbers_are_taken_as_they_were_written(number: str) -> None:
    document = f'[{{"headers": {{"n": {number}}}, "body": {number}}}]'.encode()
    assert parsed(document) == [({"n": number}, number.encode())]


def test_booleans_are_taken_as_their_json_text() -> None:
    assert parsed(b'[{"headers": {"t": true, "f": false}, "body": true}]') == [({"t": "true", "f": "false"}, b"true")]


def test_a_string_that_looks_like_a_number_is_itself() -> None:
    assert parsed(b'[{"headers": {"a": "01.0", "b": 2}, "body": "1e5"}]') == [({"a": "01.0", "b": "2"}, b"1e5")]


def test_one_unusual_event_does_not_change_the_others() -> None:
    document = b'[{"body": "one"}, {"body": 2.0}, {"headers": {"k": "v"}, "body": "three"}]'
    assert parsed(document) == [({}, b"one"), ({}, b"2.0"), ({"k": "v"}, b"three")]


def test_a_byte_order_mark_is_no_content() -> None:
    assert parsed(b'\xef\xbb\xbf[{"body": "x"}]') == [({}, b"x")]
    assert parsed(b'\xef\xbb\xbf[{"body": 1.0}]') == [({}, b"1.0")]


@pytest.mark.parametrize(
    ("document", "reason", "said"),
    [
        (b"", "empty", "the body is empty"),
        (b" \r\n", "empty", "the body is empty"),
        (b"null", "not_an_array", "got null"),
        (b'{"body": "x"}', "not_an_array", "got an object"),
        (b'"x"', "not_an_array", "got a string"),
        (b"1.5", "not_an_array", "got a number"),
        (b"true", "not_an_array", "got a boolean"),
        (b"[null]", "not_an_object", "event 1: expected an object, got null"),
        (b'[{}, "x"]', "not_an_object", "event 2: expected an object, got a string"),
        (b"[{}, {}, [1]]", "not_an_object", "event 3: expected an object, got an array"),
        (b'[{"headers": []}]', "bad_headers", "event 1: headers are an array"),
        (b'[{"headers": "k=v"}]', "bad_headers", "event 1: headers are a string"),
        (b'[{"headers": {"k": null}}]', "bad_header", "event 1: header 'k' is null, not a string"),
        (b'[{}, {"headers": {"k": {"n": 1}}}]', "bad_header", "event 2: header 'k' is an object"),
        (b'[{"headers": {"k": ["v"]}}]', "bad_header", "header 'k' is an array"),
        (b'[{"headers": {"a\\nb": null}}]', "bad_header", r"header 'a\nb' is null"),
        (b'[{"body": {}}]', "bad_body", "event 1: body is an object"),
        (b'[{"body": ["x"]}]', "bad_body", "event 1: body is an array"),
        (b'[{"body": "\\ud800"}]', "bad_body", "event 1: body holds an unpaired surrogate"),
        (b'[{"headers": {"k": "\\udfff"}}]', "bad_header", "header 'k' holds an unpaired surrogate"),
        (b'[{"headers": {"\\ud800": "v"}}]', "bad_header", r"header '\ud800' holds an unpaired surrogate"),
        (b'[{"body": "x"}] []', "bad_json", "Extra data"),
        (b'[{"body": "x"},]', "bad_json", "line 1 column"),
        (b'[{"body": "x"', "bad_json", "not JSON"),
        (b"[{'body': 'x'}]", "bad_json", "not JSON"),
        (b"[NaN]", "bad_json", "NaN"),
        (b'[{"body": -Infinity}]', "bad_json", "-Infinity"),
        (b'[{"body": 01}]', "bad_json", "not JSON"),
        (b'[{"body": "a\nb"}]', "bad_json", "control character"),
        (b'[{"body": "\xff"}]', "bad_charset", "not UTF-8"),
        (b'[{"body": "\xed\xa0\x80"}]', "bad_charset", "not UTF-8"),
        (b"[" * 100_000, "bad_json", "nested too deep"),
        (b'[{"x":' * 100_000, "bad_json", "nested too deep"),
    ],
)
def test_what_is_refused_and_why(document: bytes, reason: str, said: str) -> None:
    with pytest.raises(ParseError) as refused:
        parse_array(document)
    with pytest.raises(ParseError) as refused_exactly:
        parse_array_exactly(document)
    assert str(refused.value) == str(refused_exactly.value)
    assert refused.value.reason == reason
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_long_header_name_is_not_repeated_in_full() -> None:
    with pytest.raises(ParseError) as refused:
        parse_array(b'[{"headers": {"' + b"k" * 10_000 + b'": null}}]')
    assert len(str(refused.value)) < 200


def test_a_surrogate_under_an_ignored_key_harms_nobody() -> None:
    assert parsed(b'[{"note": "\\ud800", "body": "x"}]') == [({}, b"x")]


USUAL = [
    b'[{"headers": {"host": "web-1"}, "body": "one"}, {"headers": {"host": "web-1"}, "body": "two"}]',
    b'[{"headers": {"host": "a"}, "body": "1"}, {"headers": {"host": "ab"}, "body": "2"}]',
    b'[{"body":"","headers":{}},{"headers":{},"body":"x"}]',
    b'[{"headers":{"a":"b"},"body":"x"},{"body":"y"},{"headers":{"a":"b"},"body":"z"},{"headers":{"a":"b"}}]',
    b"[{},{}]",
    b'[{},{"headers":{}},{}]',
    b'\t[\r\n{ "headers" : { "a" : "b" , "c" : "" } , "body" : "x" } , { } ]\n ',
    b'[{"headers":{"a":"\\u00e9\\"\\\\","a":"again"},"body":"\\"quoted\\" \\\\ \\/ \\b\\f\\n\\r\\t"}]',
    b'[{"body":"\\u0000\\u007f\\u0080\\u07FF\\u0800\\uFffF\\ud7ff\\ue000 \\ud83d\\ude00\\uDBFF\\uDFFF"}]',
    '[{"headers":{"ключ":"значение"},"body":"тело"},'
    '{"body":"\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\U00010000\U0010ffff"}]'.encode(),
    b'[{"body":"1234567"},{"body":"12345678"},{"body":"123456789"},{"body":"\\n2345678"},{"body":"1234567\\n"}]',
]

UNUSUAL = [
    b"", b"[", b"]", b"[]", b" [ ] ", b"[{", b'[{"', b'[{"body"', b'[{"body":', b'[{"body":"', b'[{"body":"x',
    b'[{"body":"x"', b'[{"body":"x"}', b'[{"body":"x"},', b'[{"body":"x"},]', b'[{"body":"x",}]', b'[,{"body":"x"}]',
    b'[{"body":"x"}]]', b"[{}]\0", b"[{}]x", b'[{"body":null}]', b'[{"headers":null}]', b'[{"body":1}]',
    b'[{"body":true}]', b'[{"headers":[]}]', b'[{"headers":{"a":1}}]', b'[{"headers":{"a":null}}]',
    b'[{"headers":{"a":{}}}]', b'[{"headers":{"a":"b",}}]', b'[{"headers":{,}}]', b'[{"headers":{"a" "b"}}]',
    b'[{"headers":{"a":"b"', b'[{"headers":{"a":"b', b'[{"headers":{"a":"b\\', b'[{"headers":{"a":',
    b'[{"headers":{"a', b'[{"headers":{', b'[{"headers":{"a":"\\ud800"}}]', b'[{"headers":{"a":"\\x"}}]',
    b'[{"headers":{"a":"\x01"}}]', b'[{"headers":{"a":"\xff"}}]', b'[{"body":"a","body":"b"}]',
    b'[{"headers":{},"headers":{}}]', b'[{"other":1,"body":"x"}]', b'[{"bodY":"x"}]', b'[{"\\u0062ody":"x"}]',
    b'[{"body":"\\ud800"}]', b'[{"body":"\\udc00"}]', b'[{"body":"\\ud800\\ud800"}]', b'[{"body":"\\ud83d\\n"}]',
    b'[{"body":"\\ud83d', b'[{"body":"\\ud83d\\u', b'[{"body":"\\ud83d\\ude0', b'[{"body":"\\u12',
    b'[{"body":"\\u12G4"}]', b'[{"body":"\\u+123"}]', b'[{"body":"\\', b'[{"body":"\\a"}]', b'[{"body":"\\U0041"}]',
    b'[{"body":"a\nb"}]', b'[{"body":"\x00"}]', b'[{"body":"\x1f"}]', b'[{"body":"1234567\x1f"}]',
    b'[{"body":"\x80"}]', b'[{"body":"\xc0\x80"}]', b'[{"body":"\xc1\xbf"}]', b'[{"body":"\xc3"}]',
    b'[{"body":"\xe0\x9f\xbf"}]', b'[{"body":"\xed\xa0\x80"}]', b'[{"body":"\xf0\x8f\xbf\xbf"}]',
    b'[{"body":"\xf4\x90\x80\x80"}]', b'[{"body":"\xf5\x80\x80\x80"}]', b'[{"body":"\xe2\x82',
    b'[{"body":"\xf0\x9f\x98', b'[{"body":"\xff"}]', b"[{'body':'x'}]", b'[[{"body":"x"}]]', b'{"body":"x"}',
    b'[{"body":"x"} {}]', b'\xef\xbb\xbf[{"body":"x"}]', b'[{"body"\x0b:"x"}]', b'[{"body":"x"}]\x0c', b'["body"]',
    b'[{"body":"x"}, "y"]', b"[{}", b"[{ ",
]  # fmt: skip


@pytest.mark.parametrize("document", USUAL)
def test_the_compiled_part_reads_what_is_usual(document: bytes) -> None:
    events = parse_array(document)
    assert isinstance(events, PackedEvents)
    assert events == parse_array_exactly(document)


@pytest.mark.parametrize("document", UNUSUAL)
def test_the_compiled_part_leaves_what_is_unusual_or_wrong(document: bytes) -> None:
    assert scanned(document) is None


@pytest.mark.parametrize("document", USUAL)
def test_no_document_that_was_cut_off_is_usual(document: bytes) -> None:
    for end in range(len(document.rstrip())):
        assert scanned(document[:end]) is None


def test_long_arrays_and_long_texts() -> None:
    values = [{"headers": {"n": str(n // 7)}, "body": 'é\n"x"' * (n % 50)} for n in range(5_000)]
    for ascii_only in (True, False):
        document = json.dumps(values, ensure_ascii=ascii_only).encode()
        events = parse_array(document)
        assert isinstance(events, PackedEvents)
        assert len(events.runs) == 715
        assert events == [Event(value["headers"], value["body"].encode()) for value in values]


def test_remembered_headers_are_bounded() -> None:
    for n in range(5_000):
        assert parse_array(b'[{"headers": {"host": "%d"}}]' % n) == [Event({"host": str(n)}, b"")]
    assert parse_array(b'[{"headers": {"host": "%s"}}]' % (b"x" * 5_000)) == [Event({"host": "x" * 5_000}, b"")]
    assert len(flume._remembered) <= 2_048
    assert max(map(len, flume._remembered)) <= 1_024


def test_without_the_compiled_part_all_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flume, "compiled", None)
    for document in USUAL:
        events = parse_array(document)
        assert isinstance(events, list)
        assert events == parse_array_exactly(document)


def test_ndjson_is_one_event_a_line_and_blank_lines_are_skipped() -> None:
    document = b'\xef\xbb\xbf{"body": "one"}\r\n\n   \n{"headers": {"k": "v"}, "body": "two"}'
    assert parse_ndjson(document) == [Event({}, b"one"), Event({"k": "v"}, b"two")]
    assert parse_ndjson(b'{"body": 1.0}\n{"body": "x"}\n') == [Event({}, b"1.0"), Event({}, b"x")]


@pytest.mark.parametrize("nothing", [b"", b"\n", b" \r\n\t\n", b"\xef\xbb\xbf"])
def test_ndjson_without_lines_is_no_event(nothing: bytes) -> None:
    assert parse_ndjson(nothing) == []


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b'{"body": "x"}\n\nnull\n', "line 3: expected an object, got null"),
        (b'{"body": "x"}\n[{"body": "y"}]', "line 2: expected an object, got an array"),
        (b'{"body": "x"} {"body": "y"}', "line 1: not JSON: Extra data"),
        (b'{"body": "x"}\n{"body":\n"y"}', "line 2: not JSON"),
        (b'{"headers": {"k": null}}', "line 1: header 'k' is null"),
    ],
)
def test_ndjson_names_the_line_that_is_wrong(document: bytes, said: str) -> None:
    with pytest.raises(ParseError, match=said.replace("[", r"\[")):
        parse_ndjson(document)
