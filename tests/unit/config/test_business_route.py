"""One `[[business]]` table."""

import pytest

from config.business_route import BusinessRoute, Metric
from config.errors import RoutesError
from config.routes import load

HEAD = "[[business]]\nname = 'n'\nlogger = 'l'\n"
JSON = HEAD + "format = 'json'\nfields = { a = 'str', i = 'int', f = 'float', b = 'bool' }\n"
REGEX = HEAD + "format = 'regex'\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / "routes.toml"
        file.write_text(text, encoding="utf-8")
        (route,) = load(file, check_pattern=lambda pattern, tomcat: None).business
        return route

    return read


@pytest.fixture
def problems(read):
    """What is wrong with a text, as `line: key: what`, the key without `business`."""

    def problems(text):
        with pytest.raises(RoutesError) as raised:
            read(text)
        return [
            problem.partition("routes.toml:")[2].replace(": business.", ": ", 1) for problem in raised.value.problems
        ]

    return problems


def test_the_least_that_makes_a_route(read):
    assert read(HEAD + "format = 'kv'") == BusinessRoute("n", "l", "kv", None, None, {}, "listed", (), ())


def test_all_that_a_route_can_say(read):
    text = r"""
[[business]]
name = "pay.ments-1_x"
logger = "com.shop.*"
format = "regex"
regex = '(?P<when>\S+) (?P<method>\w+) (?P<ms>\d+)(?P<rest>.*)'
timestamp = "when"
keep = "all"
group_by = ["method"]
[business.fields]
method = "str"
ms = "int"
[business.metrics]
total = { sum = "ms" }
least = { min = "ms" }
[business.metrics.most]
max = "ms"
[business.metrics.time]
percentiles = "ms"
"""
    assert read(text) == BusinessRoute(
        name="pay.ments-1_x",
        logger="com.shop.*",
        format="regex",
        regex=r"(?P<when>\S+) (?P<method>\w+) (?P<ms>\d+)(?P<rest>.*)",
        timestamp="when",
        fields={"method": "str", "ms": "int"},
        keep="all",
        group_by=("method",),
        metrics=(
            Metric("total", "sum", "ms"),
            Metric("least", "min", "ms"),
            Metric("most", "max", "ms"),
            Metric("time", "percentiles", "ms"),
        ),
    )


def test_what_a_route_cannot_do_without(problems):
    assert problems("[[business]]") == [
        "1: business: missing key 'name'",
        "1: business: missing key 'logger'",
        "1: business: missing key 'format'",
    ]


@pytest.mark.parametrize("name", ["a b", "a/b", "..", ".", "-a", "é", "a" * 241, "a?", "a\\u0000", "a%2f"])
def test_names_that_are_no_topic_or_no_address(problems, name):
    (problem,) = problems(f'[[business]]\nlogger = "l"\nformat = "kv"\nname = "{name}"')
    assert problem.startswith("4: name: ")
    assert "cannot be part of a topic and an address" in problem


def test_names_that_are_the_same_to_kafka(problems):
    table = "[[business]]\nlogger = 'l'\nformat = 'kv'\nname = '{}'\n"
    assert problems(table.format("a.b_c") + table.format("a_b.c") + table.format("a.b_c")) == [
        "8: name: 'a_b.c' is to Kafka the same name as 'a.b_c'",
        "12: name: 'a.b_c' is the name of an earlier table",
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("group_by = ['a', 'z']", "group_by: 'z' is not one of the fields"),
        ("group_by = ['a', 'a']", "group_by: 'a' is named twice"),
        ("group_by = 'a'", "group_by: must be an array, not a string 'a'"),
        ("group_by = [1]", "group_by: must be a string, not a whole number 1"),
        ("group_by = [['a']]", "group_by: must be a string, not an array ['a']"),
        ("timestamp = 5", "timestamp: must be a string, not a whole number 5"),
        ("timestamp = 1979-05-27", "timestamp: must be a string, not a date or time datetime.date(1979, 5, 27)"),
        ("timestamp = ''", "timestamp: is empty"),
        ("timestamp = 'b'", "timestamp: field 'b' is bool, which is no time"),
        ("keep = 'some'", "keep: 'some' is not listed or all"),
        ("keep = true", "keep: must be a string, not a boolean True"),
        ("regex = 'x'", "regex: is only for format = \"regex\", and the format is 'json'"),
        ("groupby = ['a']", "groupby: unknown key; did you mean 'group_by'?"),
        ("metrics = 1", "metrics: must be a table, not a whole number 1"),
        ("metrics = { m = 'sum' }", "metrics.m: must be a table, not a string 'sum'"),
        ("metrics = { m = { sum = 'a' } }", "metrics.m.sum: needs a number, and field 'a' is str"),
        ("metrics = { m = { percentiles = 'a' } }", "metrics.m.percentiles: needs a number, and field 'a' is str"),
        ("metrics = { m = { max = 'b' } }", "metrics.m.max: needs a number, and field 'b' is bool"),
        ("metrics = { m = { min = 'zz' } }", "metrics.m.min: 'zz' is not one of the fields"),
        ("metrics = { m = { min = 5 } }", "metrics.m.min: must be a string, not a whole number 5"),
        ("metrics = { m = { min = '' } }", "metrics.m.min: is empty"),
        ("metrics = { count = { sum = 'i' } }", "metrics.count: 'count' is in every window already; take another name"),
        ("metrics = { start = { sum = 'i' } }", "metrics.start: 'start' is in every window already; take another name"),
        ("metrics = { key = { sum = 'i' } }", "metrics.key: 'key' is in every window already; take another name"),
        ("metrics = { ts = { sum = 'i' } }", "metrics.ts: 'ts' is in every window already; take another name"),
        ("metrics = { '' = { sum = 'i' } }", "metrics.'': is not a name for a metric"),
        ('metrics = { "\\u001b" = { sum = "i" } }', "metrics.'\\x1b': is not a name for a metric"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(problems, line, problem):
    assert problems(f"{JSON}{line}") == [f"6: {problem}"]


@pytest.mark.parametrize("metric", ["{}", "{ sum = 'i', max = 'i' }"])
def test_a_metric_is_one_figure(problems, metric):
    assert problems(f"{JSON}[business.metrics]\nm = {metric}") == [
        '7: metrics.m: must have exactly one of sum, min, max or percentiles, such as { sum = "amount" }'
    ]


def test_a_figure_that_nobody_knows(problems):
    assert problems(f"{JSON}[business.metrics]\nm = {{ mxa = 'i' }}") == [
        "7: metrics.m.mxa: unknown key; did you mean 'max'?",
        '7: metrics.m: must have exactly one of sum, min, max or percentiles, such as { sum = "amount" }',
    ]


def test_near_misses_of_fields_are_pointed_out(problems):
    text = HEAD + "format = 'json'\nfields.amount = 'float'\ngroup_by = ['amout']\nmetrics.m.sum = 'amuont'"
    assert problems(text) == [
        "6: group_by: 'amout' is not one of the fields; did you mean 'amount'?",
        "7: metrics.m.sum: 'amuont' is not one of the fields; did you mean 'amount'?",
    ]


def test_fields(problems):
    text = """format = 'kv'
fields.a = 'string'
[business.fields.b]
[business.metrics]
m.sum = 'a'
n.sum = 'c'
"""
    assert problems(HEAD + text) == [
        "5: fields.a: 'string' is not str, int, float or bool; did you mean 'str'?",
        "6: fields.b: must be a string, not a table {}",
        "9: metrics.n.sum: 'c' is not one of the fields",
    ]
    assert problems(HEAD + "format = 'kv'\nfields = ['a']") == ["5: fields: must be a table, not an array ['a']"]


@pytest.mark.parametrize("name", ["ts", "service", "host"])
def test_fields_that_every_record_has_already(problems, name):
    assert problems(f"{HEAD}format = 'kv'\nfields.{name} = 'str'") == [
        f"5: fields.{name}: '{name}' is in every record already; leave it out of the fields"
    ]


def test_field_names_are_for_people(problems, read):
    assert read(HEAD + "format = 'json'\nfields = { '@amount é' = 'int' }").fields == {"@amount é": "int"}
    assert problems(HEAD + 'format = "json"\nfields = { "" = "int", "a\\u0000" = "int" }') == [
        "5: fields.'': is not a name for a field",
        "5: fields.'a\\x00': is not a name for a field",
    ]


# -- regular expressions


def test_the_format_regex_needs_a_regex(problems):
    assert problems(REGEX) == ["1: business: missing key 'regex'"]
    assert problems(REGEX + "regex = ''") == ["5: regex: is empty"]
    assert problems(REGEX + "regex = 1") == ["5: regex: must be a string, not a whole number 1"]


@pytest.mark.parametrize(
    ("regex", "error"),
    [
        ("(?P<a>", "missing ), unterminated subpattern at position 0"),
        ("(?P<a>.)(?P<a>.)", "redefinition of group name 'a' as group 2; was group 1 at position 12"),
        ("[z-a]", "bad character range z-a at position 1"),
        ("(?<=.*)x", "look-behind requires fixed-width pattern"),
        ("a{99999999999999999999}", "the repetition number is too large"),
    ],
)
def test_what_does_not_compile(problems, regex, error):
    assert problems(f"{REGEX}regex = '{regex}'") == [f"5: regex: is not a regular expression: {error}"]


def test_brackets_beyond_all_measure_do_not_crash(problems):
    (problem,) = problems(f"{REGEX}regex = '{'(' * 20_000}{')' * 20_000}'")
    assert problem.startswith("5: regex: is not a regular expression: ")


def test_a_set_that_looks_nested_is_the_operators_business(read):
    assert read(f"{REGEX}regex = '[[]x'").regex == "[[]x"


def test_every_field_and_the_timestamp_need_a_group(problems, read):
    text = REGEX + "regex = '(?P<amount>.)'\ntimestamp = 'at'\n[business.fields]\namount = 'int'\namuont = 'int'"
    assert problems(text) == [
        "6: timestamp: the regex has no group (?P<at>...)",
        "9: fields.amuont: the regex has no group (?P<amuont>...); did you mean 'amount'?",
    ]
    assert read(REGEX + "regex = '(?P<at>.)(?P<b>.)'\ntimestamp = 'at'").timestamp == "at"
