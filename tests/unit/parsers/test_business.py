"""Business lines in each format: what is taken, what is refused and why, and the JSON."""

import json
import time
from typing import Any

import pytest

from parsers.business import BusinessRecord, compile_business, encode_business
from parsers.errors import ParseError

FIELDS = {"order_id": "str", "items": "int", "amount": "float", "paid": "bool"}
REGEX = r"order (?P<order_id>\S+)(?: items (?P<items>\S+))?(?: amount (?P<amount>\S*))?(?: paid (?P<paid>\S+))?"
ABSENT = {"order_id": None, "items": None, "amount": None, "paid": None}


def parse_json(value: Any, keep: str | None = None, fields: dict[str, str] = FIELDS, **more: Any) -> BusinessRecord:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return compile_business("json", None, more.get("timestamp"), fields, keep).parse(body)


def parse_kv(line: str | bytes, keep: str | None = None, **more: Any) -> BusinessRecord:
    body = line if isinstance(line, bytes) else line.encode()
    return compile_business("kv", None, more.get("timestamp"), more.get("fields", FIELDS), keep).parse(body)


def parse_regex(line: str, keep: str | None = None, **more: Any) -> BusinessRecord:
    fields = more.get("fields", FIELDS)
    return compile_business("regex", more.get("regex", REGEX), more.get("timestamp"), fields, keep).parse(line.encode())


def reason(parse: Any, *args: Any, **more: Any) -> str:
    with pytest.raises(ParseError) as caught:
        parse(*args, **more)
    assert len(str(caught.value)) < 500
    return caught.value.reason


class TestJson:
    def test_fields_in_the_order_of_the_route(self) -> None:
        record = parse_json({"paid": True, "note": "x", "amount": 19.9, "items": 3, "order_id": "o-1"})
        assert record == BusinessRecord(None, {"order_id": "o-1", "items": 3, "amount": 19.9, "paid": True})
        assert list(record.fields) == list(FIELDS)

    def test_absent_and_null_are_null(self) -> None:
        assert parse_json({"amount": None}).fields == ABSENT
        assert parse_json({}).fields == ABSENT

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("order_id", 12, "12"),
            ("order_id", "", ""),
            ("order_id", "<b>\u0000", "<b>\u0000"),
            ("items", "12", 12),
            ("items", "-12", -12),
            ("items", 5.0, 5),
            ("items", 2**63 - 1, 2**63 - 1),
            ("items", -(2**63), -(2**63)),
            ("amount", 3, 3.0),
            ("amount", "19.90", 19.9),
            ("amount", "-1e3", -1000.0),
            ("amount", ".5", 0.5),
            ("paid", False, False),
        ],
    )
    def test_harmless_conversions(self, name: str, value: Any, expected: Any) -> None:
        found = parse_json({name: value}).fields[name]
        assert found == expected
        assert type(found) is type(expected)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("order_id", 1.5),
            ("order_id", True),
            ("order_id", ["o"]),
            ("order_id", {}),
            ("items", 5.5),
            ("items", True),
            ("items", "5.0"),
            ("items", "five"),
            ("items", " 5"),
            ("items", "1_000"),
            ("items", "٥"),
            ("items", ""),
            ("items", 2**63),
            ("items", 2**64),
            ("items", -(2**63) - 1),
            ("items", "9223372036854775808"),
            ("items", "1" * 5000),
            ("items", 1e300),
            ("items", []),
            ("amount", False),
            ("amount", "NaN"),
            ("amount", "Infinity"),
            ("amount", "1e999"),
            ("amount", "0x10"),
            ("amount", "."),
            ("amount", ""),
            ("amount", {"value": 1}),
            ("paid", "true"),
            ("paid", 1),
        ],
    )
    def test_values_of_another_type(self, name: str, value: Any) -> None:
        assert reason(parse_json, {name: value}) == "bad_type"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"", "not_json"),
            (b"paid", "not_json"),
            (b"{'a': 1}", "not_json"),
            (b'{"amount": NaN}', "not_json"),
            (b'{"amount": -Infinity}', "not_json"),
            (b'{"amount": 1e999}', "not_json"),
            (b'{"order_id": "\\ud800"}', "not_json"),
            (b'{"order_id": "\xff"}', "not_json"),
            (b'{"order_id": "a"} {}', "not_json"),
            (b"\x00" * 10, "not_json"),
            (b"[" * 100_000, "not_json"),
            (b"[]", "not_an_object"),
            (b"null", "not_an_object"),
            (b'"text"', "not_an_object"),
            (b"17", "not_an_object"),
        ],
    )
    def test_bodies_that_are_no_object(self, body: bytes, expected: str) -> None:
        assert reason(parse_json, body) == expected

    def test_the_last_of_duplicate_keys_wins(self) -> None:
        assert parse_json(b'{"items": 1, "items": 2}').fields["items"] == 2

    def test_dotted_names_look_into_objects_unless_a_key_is_called_so(self) -> None:
        fields = {"customer.country": "str", "a.b.c": "int"}
        record = parse_json({"customer": {"country": "NL"}, "a": {"b": {"c": "7"}}}, fields=fields)
        assert record.fields == {"customer.country": "NL", "a.b.c": 7}
        assert parse_json({"customer.country": "DE", "customer": {"country": "NL"}}, fields=fields).fields == {
            "customer.country": "DE",
            "a.b.c": None,
        }
        for nothing in ({"customer": "NL", "a": {"b": [1]}}, {"customer": None}, {"customer": {"country": None}}):
            assert parse_json(nothing, fields=fields).fields == {"customer.country": None, "a.b.c": None}
        assert reason(parse_json, {"a": {"b": {"c": "x"}}}, fields=fields) == "bad_type"

    def test_other_fields_are_dropped_or_kept(self) -> None:
        line = {
            "items": 1,
            "note": "x",
            "tags": ["a", {"b": None}],
            "at": 1709210096,
            "ts": 1,
            "service": "s",
            "host": 2,
        }
        listed = {"items": "int"}
        assert parse_json(line, fields=listed, timestamp="at").fields == {"items": 1}
        kept = parse_json(line, "all", fields=listed, timestamp="at")
        assert kept == BusinessRecord(1709210096000, {"items": 1, "note": "x", "tags": ["a", {"b": None}]})

    def test_nesting_that_could_not_be_written_again_is_refused(self) -> None:
        body = b'{"deep": ' + b"[" * 500 + b"]" * 500 + b"}"
        assert reason(parse_json, body, "all") == "bad_value"
        assert parse_json(body).fields == ABSENT

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (1709210096, 1709210096000),
            (1709210096.25, 1709210096250),
            (1709210096123, 1709210096123),
            ("1709210096", 1709210096000),
            ("2024-02-29T12:34:56.789Z", 1709210096789),
            ("2024-02-29T14:34:56.789+02:00", 1709210096789),
            ("2024-02-29 12:34:56", 1709210096000),
        ],
    )
    def test_timestamp(self, value: Any, expected: int) -> None:
        assert parse_json({"at": value}, timestamp="at").ts == expected
        assert parse_json({"meta": {"at": value}}, timestamp="meta.at").ts == expected

    @pytest.mark.parametrize(
        "value", [None, True, "", "soon", [], {}, -1, 10**15, "2024-02-30T00:00:00Z", "x" * 100_000]
    )
    def test_bad_timestamp(self, value: Any) -> None:
        assert reason(parse_json, {"at": value}, timestamp="at") == "bad_timestamp"
        assert reason(parse_json, {}, timestamp="at") == "bad_timestamp"
        assert reason(parse_json, {"meta": {"at": value}}, timestamp="meta.at") == "bad_timestamp"


class TestKeyValue:
    @pytest.mark.parametrize(
        "line",
        [
            "order_id=o-1 items=3 amount=19.90 paid=true",
            "order_id=o-1,items=3,amount=19.90,paid=YES",
            'INFO shop order_id="o-1", items = 7 items=3; and (amount=19.90 paid=1\r\n',
            "\torder_id='o-1'\titems=+3\tamount='19.90'\tpaid=\"True\"\tother=x=y=z",
            "items=1 items=2 order_id=o-1 amount=1.990e1 paid=no paid=1 items=3",
        ],
    )
    def test_pairs_anywhere(self, line: str) -> None:
        fields = parse_kv(line.replace("items=3;", "items=3").replace("(amount", "amount")).fields
        assert fields == {"order_id": "o-1", "items": 3, "amount": 19.9, "paid": True}

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ('a="two words"', "two words"),
            ("a='it, is'", "it, is"),
            ('a="say \\"hi\\" \\\\ it\\\'s"', "say \"hi\" \\ it's"),
            ("a='it\\'s'", "it's"),
            ('a="tab\\tnew\\nline \\u20ac \\ud83d\\ude00 \\ud800"', "tab\tnew\nline € 😀 \ufffd"),
            ("a=C:\\temp\\new", "C:\\temp\\new"),  # outside quotes nothing is an escape
            ("a=C:\\\\x\\\"y", "C:\\\\x\\\"y"),
            ('a="never closed', '"never'),
            ("a=", ""),
            ('a=""', ""),
            ("a=b=c", "b=c"),
            ("a=<b>x</b>\x1b[31m", "<b>x</b>\x1b[31m"),
            ("a=é", "é"),
            ("x.a=1 a=2", "2"),
            ("a=1 a", "1"),
        ],
    )  # fmt: skip
    def test_values(self, line: str, value: str) -> None:
        assert parse_kv(line, fields={"a": "str"}).fields == {"a": value}

    def test_bytes_that_are_not_utf_8_are_replaced(self) -> None:
        assert parse_kv(b"a=\xff\x00 b=1", fields={"a": "str"}).fields == {"a": "\ufffd\x00"}

    def test_absent_fields_and_empty_numbers_are_null(self) -> None:
        assert parse_kv("other=1").fields == ABSENT
        assert parse_kv('order_id= items= amount="" paid=').fields == {**ABSENT, "order_id": ""}

    def test_other_pairs_are_kept_as_text(self) -> None:
        record = parse_kv("ts=1 at=1709210096 items=3 n=7 service=x", "all", fields={"items": "int"}, timestamp="at")
        assert record == BusinessRecord(1709210096000, {"items": 3, "n": "7"})

    @pytest.mark.parametrize("line", ["", "no pairs here", "=1", "a:1", "(a=1)"])
    def test_no_pair(self, line: str) -> None:
        assert reason(parse_kv, line) == "no_match"

    @pytest.mark.parametrize("pair", ["items=many", "items=1.5", "amount=nan", "amount=1,5e", "paid=maybe", "paid=2"])
    def test_bad_type(self, pair: str) -> None:
        if pair == "amount=1,5e":  # the comma ends the value
            assert parse_kv(pair).fields["amount"] == 1.0
        else:
            assert reason(parse_kv, pair) == "bad_type"

    @pytest.mark.parametrize("filling", ["a", "a=", 'a="', "a='", "\\", '\\"', 'a="\\"', " ", ",", "=", "a=1 ", "é="])
    def test_a_hostile_line_of_the_largest_size_takes_linear_time(self, filling: str) -> None:
        line = (filling * (1 << 20))[: 1 << 20].encode()[: 1 << 20]
        started = time.process_time()
        try:
            parse_kv(line)
        except ParseError as error:
            refused = error.reason
        else:
            refused = None
        assert time.process_time() - started < 1.0  # most take a tenth of this
        assert refused in (None, "no_match")

    def test_longer_lines_are_refused(self) -> None:
        assert reason(parse_kv, b"a=1 " * (1 << 19)) == "too_long"


class TestRegex:
    def test_named_groups_are_the_fields(self) -> None:
        record = parse_regex("12:00 order o-1 items 3 amount 19.90 paid no")
        assert record.fields == {"order_id": "o-1", "items": 3, "amount": 19.9, "paid": False}

    def test_groups_that_took_no_part_are_null(self) -> None:
        assert parse_regex("order o-1").fields == {**ABSENT, "order_id": "o-1"}
        assert parse_regex("order o-1 amount ").fields == {**ABSENT, "order_id": "o-1"}

    def test_timestamp_and_other_groups(self) -> None:
        regex = r"^(?P<at>\S+) (?P<items>\d+) (?P<note>.*)$"
        line = "2024-02-29T12:34:56Z 3 é <b>\r\n"
        record = parse_regex(line, "all", regex=regex, fields={"items": "int"}, timestamp="at")
        assert record == BusinessRecord(1709210096000, {"items": 3, "note": "é <b>"})

    def test_refused(self) -> None:
        assert reason(parse_regex, "nothing") == "no_match"
        assert reason(parse_regex, "order o-1 items x") == "bad_type"
        at = {"regex": r"at (?P<at>\S+)?", "fields": {}, "timestamp": "at"}
        assert reason(parse_regex, "at ", **at) == "bad_timestamp"
        assert reason(parse_regex, "at noon", **at) == "bad_timestamp"

    def test_a_long_line_is_only_searched_from_its_beginning(self) -> None:
        """The fuzzer's: 20 KB of letters took `(?P<word>\\w*) ` 0.8 s, a megabyte would have taken an hour."""
        line = "x" * 100_000
        for regex in (r"(?P<word>\w*) ", r"(?P<word>\w+)"):
            assert reason(parse_regex, line, regex=regex, fields={"word": "str"}) == "too_long"
        assert parse_regex("x" * 8_192, regex=r"(?P<word>\w+)", fields={"word": "str"}).fields["word"] == "x" * 8_192
        for regex in (r"^(?P<word>\w*)", r"\A(?P<word>\w*)"):
            assert parse_regex(line, regex=regex, fields={"word": "str"}).fields == {"word": line}
            assert reason(parse_regex, line * 11, regex=regex, fields={"word": "str"}) == "too_long"
            assert reason(parse_regex, line, regex=regex + " ", fields={"word": "str"}) == "no_match"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("xml", None, None, {}), r"format = 'xml'"),
        (("json", None, None, {"a": "decimal"}), r"fields.a = 'decimal'.*str, int, float, bool"),
        (("json", None, None, {"host": "str"}), r"fields.host"),
        (("kv", None, None, {"ts": "int"}), r"fields.ts"),
        (("json", None, None, {}, "some"), r"keep = 'some'"),
        (("regex", None, None, {}), r"needs regex"),
        (("json", "x", None, {}), r"takes no regex"),
        (("regex", "(", None, {}), r"regex: missing \)"),
        (("regex", "(?P<a>x)", None, {"b": "str"}), r"no group named b"),
        (("regex", "(?P<a>x)", "at", {"a": "str"}), r"no group named at"),
    ],
)
def test_wrong_routes(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compile_business(*arguments)


def test_the_json_of_a_record() -> None:
    record = BusinessRecord(5, {"order_id": "ä", "amount": None})
    body = encode_business(record, "shop", None, 9)
    assert body.decode() == '{"ts":5,"service":"shop","host":null,"order_id":"ä","amount":null}'
    assert json.loads(encode_business(BusinessRecord(None, {}), None, "h", 9)) == {
        "ts": 9,
        "service": None,
        "host": "h",
    }


def test_the_json_is_made_whatever_the_headers_say() -> None:
    decoded = json.loads(encode_business(BusinessRecord(1, {"a": 1}), "\ud800", "b\udc00", 9))
    assert decoded == {"ts": 1, "service": "\ufffd", "host": "b\ufffd", "a": 1}
