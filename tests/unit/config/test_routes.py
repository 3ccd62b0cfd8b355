"""The routes file as a whole: what is read from it, and where it is wrong."""

import os
from pathlib import Path

import pytest

from config.errors import RoutesError
from config.routes import AccessLogRoute, BusinessRoute, Metric, Routes, load
from config.settings import SHIPPED_ROUTES


def accept(pattern, tomcat):
    """Stands for the compiler of Tomcat patterns; the wiring hands in the real one."""


def refuse_questionable(pattern, tomcat):
    if "?" in pattern:
        raise ValueError(f"no letter '?' in Tomcat {tomcat:g}")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "routes.toml"


@pytest.fixture
def read(file):
    def read(text, check_pattern=accept):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(file, check_pattern=check_pattern)

    return read


@pytest.fixture
def problems(file, read):
    """What is wrong with a text, without the name of the file: `line: key: what`."""

    def problems(text, check_pattern=accept):
        with pytest.raises(RoutesError) as raised:
            read(text, check_pattern)
        assert str(raised.value) == "\n".join(raised.value.problems)
        assert all(problem.startswith(f"{file}:") for problem in raised.value.problems)
        return [problem.removeprefix(f"{file}:") for problem in raised.value.problems]

    return problems


def test_the_shipped_file_is_the_example_of_the_contract_and_a_pattern_with_latencies():
    assert load(SHIPPED_ROUTES, check_pattern=accept) == Routes(
        access_log=AccessLogRoute(
            ("combined", "common", '%h %l %u %t "%r" %s %b "%{Referer}i" "%{User-Agent}i" %D'), 10.0
        ),
        business=(
            BusinessRoute(
                name="orders",
                logger="orders",
                format="json",
                regex=None,
                timestamp="ts",
                fields={"order_id": "str", "status": "str", "amount": "float"},
                keep="listed",
                group_by=("status",),
                metrics=(Metric("revenue", "sum", "amount"), Metric("amount", "percentiles", "amount")),
            ),
        ),
        sources=(),
        path=SHIPPED_ROUTES,
    )


def test_topics(read):
    routes = load(SHIPPED_ROUTES, check_pattern=accept)
    assert routes.access_log.topic == "access-log"
    assert routes.business[0].topic == "business-orders"


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", b"\xef\xbb\xbf# with a byte order mark"])
def test_an_empty_file_monitors_nothing(read, file, text):
    assert read(text) == Routes(None, (), (), file)


def test_empty_arrays_of_tables(read, file):
    assert read("business = []\nsource = []") == Routes(None, (), (), file)


def test_a_missing_file_is_named(file):
    with pytest.raises(RoutesError) as raised:
        load(file, check_pattern=accept)
    assert str(raised.value) == f"{file}: there is no such file; SLUICE_ROUTES names the routes file"


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(RoutesError, match="cannot be read: Is a directory"):
        load(tmp_path, check_pattern=accept)


def test_a_name_that_is_too_long_or_goes_through_a_file(tmp_path, file):
    file.touch()
    for path in (tmp_path / ("x" * 1000), file / "x"):
        with pytest.raises(RoutesError, match="cannot be read"):
            load(path, check_pattern=accept)


def test_bytes_that_are_not_utf8(problems):
    assert problems(b"[access_log]\n# caf\xe9\n") == ["2: byte 0xe9 is not UTF-8"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[access_log]\npatterns = [", 2),
        ("[access_log]\npatterns = ['x']\n\ntomcat 10", 4),
        ("a = 1\na = 2", 2),
        ("a = 'x", 1),
        ("a = '''\nx\n", 3),
        ("\n\na = 2024-99-99", 3),
        ("a = 1\n\x00", 2),
    ],
)
def test_what_is_not_toml_is_said_with_its_line(problems, text, line):
    (problem,) = problems(text)
    assert problem.startswith(f"{line}: not valid TOML: ")
    assert "(at " not in problem


def test_numbers_and_nesting_beyond_all_measure_are_refused_like_anything_else(read, file):
    for text in (f"a = {'9' * 10_000}", f"a = {'[' * 100_000}"):
        with pytest.raises(RoutesError, match=f"^{file}:"):
            read(text)


def test_tables_that_nobody_knows(problems):
    assert problems("acess_log = 1\n\n[[busines]]\n[zzz]") == [
        "1: acess_log: unknown key; did you mean 'access_log'?",
        "3: busines: unknown key; did you mean 'business'?",
        "4: zzz: unknown key; known are access_log, business or source",
    ]


def test_tables_in_the_place_of_arrays_and_the_other_way_round(problems):
    assert problems("[[access_log]]\n[business]\n[source]") == [
        "1: access_log: must be a table, not an array [{}]",
        "2: business: is an array of tables: write [[business]]",
        "3: source: is an array of tables: write [[source]]",
    ]
    assert problems("access_log = true\nbusiness = [1]\nsource = 'x'") == [
        "1: access_log: must be a table, not a boolean True",
        "2: business: must be a table, not a whole number 1",
        "3: source: must be an array, not a string 'x'",
    ]


# -- access_log


@pytest.mark.parametrize("version", ["8", "8.5", "9", "9.0", "10", "10.0", "10.1", "11"])
def test_versions_of_tomcat(read, version):
    route = read(f"[access_log]\npatterns = ['%h %D']\ntomcat = {version}").access_log
    assert route == AccessLogRoute(("%h %D",), float(version))


@pytest.mark.parametrize(
    ("version", "shown"),
    [
        ("7", "7"),
        ("10.2", "10.2"),
        ("'10'", "'10'"),
        ("true", "True"),
        ("nan", "nan"),
        ("[10]", "[10]"),
        ("1e99", "1e+99"),
    ],
)
def test_what_is_no_version_of_tomcat(problems, version, shown):
    assert problems(f"[access_log]\npatterns = ['%h']\n\ntomcat = {version}") == [
        f"4: access_log.tomcat: {shown} is not one of 8, 8.5, 9, 10, 10.1, 11"
    ]


def test_the_version_matters_only_where_a_pattern_has_a_duration(read, problems):
    assert read("[access_log]\npatterns = ['common']").access_log == AccessLogRoute(("common",), 10.0)
    assert problems("\n[access_log]\npatterns = ['common', '%h %T']") == [
        "2: access_log: missing key 'tomcat': Tomcat's version decides the unit of %D and %T"
    ]


def test_the_patterns_are_needed(problems):
    assert problems("\n[access_log]\ntomcat = 10") == ["2: access_log: missing key 'patterns'"]
    assert problems("[access_log]\ntomcat = 10\npatterns = []") == [
        "3: access_log.patterns: is empty; without [access_log] no access log is monitored"
    ]


def test_patterns_of_a_wrong_type_and_unknown_keys(problems):
    text = "[access_log]\ntomcat = 10\npatterns = [\n  'common',\n  '',\n  5,\n]\npattern = 'x'\nx.y = 1"
    assert problems(text) == [
        "5: access_log.patterns: is empty",
        "6: access_log.patterns: must be a string, not a whole number 5",
        "8: access_log.pattern: unknown key; did you mean 'patterns'?",
        "9: access_log.x: unknown key; known are patterns or tomcat",
    ]
    assert problems("[access_log]\ntomcat = 10\npatterns = 'common'") == [
        "3: access_log.patterns: must be an array, not a string 'common'"
    ]


def test_a_pattern_that_tomcat_would_not_take_is_said_with_its_own_line(problems):
    text = "access_log.tomcat = 9\naccess_log.patterns = [\n  'common', '%?',\n\n  '%h', '?']"
    assert problems(text, refuse_questionable) == [
        "3: access_log.patterns: '%?': no letter '?' in Tomcat 9",
        "5: access_log.patterns: '?': no letter '?' in Tomcat 9",
    ]


# -- source


def test_a_kind_that_cannot_be_had_is_refused(problems, monkeypatch):
    monkeypatch.setattr("config.routes._READERS", {})
    text = """
[[source]]
name = "tomcat-access"
kind = "tail"
paths = ["/var/log/tomcat/*.txt"]
"""
    assert problems(text) == ["4: source.kind: kind 'tail' is not available in this version"]


def test_kinds_and_names_are_checked(problems):
    text = """\
[[source]]
name = 'a'
[[source]]
name = 'b'
kind = 'tial'
[[source]]
name = 'c'
kind = 5
[[source]]
name = 'a'
kind = 'xyz'
"""
    assert problems(text) == [
        "1: source: missing key 'kind'",
        "5: source.kind: 'tial' is not tail, syslog, thrift or avro; did you mean 'tail'?",
        "8: source.kind: must be a string, not a whole number 5",
        "10: source.name: 'a' is the name of an earlier table",
        "11: source.kind: 'xyz' is not tail, syslog, thrift or avro",
    ]


# -- the whole


def test_every_problem_is_said_in_the_order_of_the_file(problems):
    text = """\
[[business]]
name = "orders"
logger = "orders"
format = "xml"

[access_log]
patterns = ["common"]
tomcat = 6

[[business]]
name = "orders"
logger = "orders"
format = "json"
group_by = ["nope"]
"""
    assert problems(text) == [
        "4: business.format: 'xml' is not json, kv or regex",
        "8: access_log.tomcat: 6 is not one of 8, 8.5, 9, 10, 10.1, 11",
        "11: business.name: 'orders' is the name of an earlier table",
        "14: business.group_by: 'nope' is not one of the fields",
    ]


def test_nothing_in_a_message_moves_the_terminal_or_breaks_the_line(problems):
    found = problems('"a\\u001b[2J\\n" = 1\n[access_log]\ntomcat = 9\npatterns = ["?\\u001b\\n"]', refuse_questionable)
    assert len(found) == 2
    assert all(problem.isprintable() for problem in found)


def test_the_name_of_the_file_is_printable_too(tmp_path):
    with pytest.raises(RoutesError) as raised:
        load(Path(os.fsdecode(b"/nowhere/\xff\x1b")), check_pattern=accept)
    assert str(raised.value).isprintable()
