"""Any bytes give a record or a ParseError; values written in a format are read back."""

import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from parsers.business import BusinessParser, BusinessRecord, compile_business, encode_business
from parsers.errors import ParseError

FIELDS = {"a": "str", "b": "int", "c": "float", "d": "bool", "e.f": "str"}
REGEX = r"(?P<a>\w*) (?P<b>\S*) (?P<c>\S*) (?P<d>\S*)(?: (?P<at>.*))?"
REASONS = {"not_json", "not_an_object", "no_match", "too_long", "bad_type", "bad_timestamp", "bad_value"}
PARSERS = [
    compile_business("json", None, None, FIELDS, "all"),
    compile_business("json", None, "at", FIELDS),
    compile_business("kv", None, None, FIELDS, "all"),
    compile_business("kv", None, "at", FIELDS),
    compile_business("regex", REGEX, None, {"a": "str", "b": "int", "c": "float", "d": "bool"}, "all"),
    compile_business("regex", REGEX, "at", {"a": "str"}),
]


def parse(parser: BusinessParser, body: bytes) -> BusinessRecord | ParseError:
    try:
        return parser.parse(body)
    except ParseError as error:
        return error


def check(parser: BusinessParser, body: bytes) -> None:
    record = parse(parser, body)
    if isinstance(record, ParseError):
        assert record.reason in REASONS
        str(record).encode()
        return
    decoded = json.loads(encode_business(record, "shop", "web-1", 1))
    assert isinstance(decoded["ts"], int)
    assert (decoded["service"], decoded["host"]) == ("shop", "web-1")
    assert decoded.keys() == record.fields.keys() | {"ts", "service", "host"}


@given(st.sampled_from(PARSERS), st.binary(max_size=200))
@example(PARSERS[2], b"a=\xed\xa0\x80")
@example(PARSERS[2], b'a="\\ud800\\')
def test_any_bytes(parser: BusinessParser, body: bytes) -> None:
    check(parser, body)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["a", "b", "c", "d", "e", "e.f", "at", "ts", "service", "host"]) | st.text(max_size=3)


@given(st.sampled_from(PARSERS[:2]), st.dictionaries(names, json_values, max_size=8))
def test_any_json_object(parser: BusinessParser, value: dict[str, Any]) -> None:
    check(parser, json.dumps(value).encode())


@given(
    st.sampled_from(PARSERS[2:4]), st.lists(st.tuples(names, st.sampled_from("= "), st.text(max_size=5)), max_size=8)
)
def test_any_pairs(parser: BusinessParser, pairs: list[tuple[str, str, str]]) -> None:
    check(parser, " ".join(name + sign + value for name, sign, value in pairs).encode())


AT_MS = 1_700_000_000_123
usual = st.fixed_dictionaries(
    {},
    optional={
        "a": st.sampled_from(("x", "", "y z", 7, None, True)),
        "b": st.sampled_from((1, -5, 2**63 - 1, 2**63, 2.0, "12", "1_2", "\u0661", "9" * 19, None, "")),
        "c": st.sampled_from((0.5, 3, "3.25", ".5", "1.", ".", "1.2.3", "1e3", "inf", "1" * 301, "-2", None, True)),
        "d": st.sampled_from((True, False, "yes", "0", 1, None)),
        "e.f": st.sampled_from(("p", 1)),
        "e": st.sampled_from(({"f": "q"}, {"f": None}, {}, "r")),
        "at": st.sampled_from(
            (AT_MS, AT_MS // 1000, str(AT_MS), 10**15, -1, "2026-11-21T06:12:20Z", 1.5e9, None, True)
        ),
    },
)
plain = st.fixed_dictionaries(
    {
        "a": st.sampled_from(("x", "y")), "b": st.integers(-9, 9), "c": st.sampled_from((0.5, 7)), "d": st.booleans(),
        "e.f": st.just("p"), "at": st.just(AT_MS),
    }
)  # fmt: skip


def written(form: str, value: dict[str, Any]) -> bytes:
    if form == "json":
        return json.dumps(value).encode()
    if form == "regex":
        return " ".join(str(value.get(name, "")) for name in ("a", "b", "c", "d", "at")).encode()
    return " ".join(f"{name}={each}" for name, each in value.items()).encode()


@given(st.sampled_from(PARSERS), st.data())
def test_a_line_is_read_the_same_whatever_lines_are_around_it(parser: BusinessParser, data: st.DataObject) -> None:
    form = ("json", "kv", "regex")[PARSERS.index(parser) // 2]
    lines = st.builds(written, st.just(form), st.one_of(plain, plain, usual) if data.draw(st.booleans()) else plain)
    bodies = data.draw(st.lists(lines if data.draw(st.booleans()) else lines | st.binary(max_size=3), max_size=6))
    columns, refused = parser.parse_many(bodies)
    records = iter(zip(*columns, strict=True))
    for place, body in enumerate(bodies):
        alone = parse(parser, body)
        if isinstance(alone, ParseError):
            assert str(refused[place]) == str(alone)
        else:
            assert repr(next(records)) == repr(tuple(alone))
    assert next(records, None) is None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
int64s = st.integers(-(2**63), 2**63 - 1)
finite = st.floats(allow_nan=False, allow_infinity=False)


@given(texts, int64s, finite, st.booleans(), texts)
def test_json_values_are_read_back(a: str, b: int, c: float, d: bool, f: str) -> None:
    body = json.dumps({"a": a, "b": b, "c": c, "d": d, "e": {"f": f}}).encode()
    record = PARSERS[0].parse(body)
    assert record.fields == {"a": a, "b": b, "c": c, "d": d, "e.f": f, "e": {"f": f}}
    assert json.loads(encode_business(record, None, None, 7)) == {
        "ts": 7,
        "service": None,
        "host": None,
        **record.fields,
    }


@given(texts, int64s, finite, st.booleans(), st.sampled_from("\"'"), st.sampled_from([" ", ",", ", ", " word ", "\t"]))
def test_key_value_texts_are_read_back(a: str, b: int, c: float, d: bool, quote: str, between: str) -> None:
    quoted = a.replace("\\", "\\\\").replace(quote, "\\" + quote)
    line = between.join([f"a={quote}{quoted}{quote}", f"b={b}", f"c={c!r}", f"d={str(d).lower()}"])
    record = compile_business("kv", None, None, {"a": "str", "b": "int", "c": "float", "d": "bool"}).parse(
        line.encode()
    )
    assert record.fields == {"a": a, "b": b, "c": c, "d": d}


@given(st.text(st.characters(codec="ascii", categories=["L", "N"])), int64s, finite, st.booleans())
def test_regex_groups_are_read_back(a: str, b: int, c: float, d: bool) -> None:
    record = compile_business("regex", "^" + REGEX, None, {"a": "str", "b": "int", "c": "float", "d": "bool"}).parse(
        f"{a} {b} {c!r} {int(d)}".encode()
    )
    assert record.fields == {"a": a, "b": b, "c": c, "d": d}


@given(st.floats(0, 1e11, exclude_max=True) | st.integers(0, 10**14 - 1))
def test_epoch_numbers_are_read_alike_as_number_and_as_text(at: float) -> None:
    text = format(at, ".3f") if isinstance(at, float) else str(at)
    assume(float(text) < 1e11 or isinstance(at, int))
    number = json.dumps({"at": json.loads(text)}).encode()
    parser = compile_business("json", None, "at", {})
    ts = parser.parse(number).ts
    assert ts is not None
    assert ts == parser.parse(json.dumps({"at": text}).encode()).ts
    assert abs(ts - (at * 1000 if at < 1e11 else at)) <= 1
