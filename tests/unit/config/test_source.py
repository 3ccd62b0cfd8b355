"""What all `[[source]]` tables have."""

import sys
from pathlib import Path

import pytest

from config.errors import RoutesError
from config.source import SourceCommon, read_common
from config.toml_lines import TomlLines
from config.toml_table import Problems, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read(text):
    """The keys of a text as a table's; or what is wrong with them, as `line: key: what`."""
    problems = Problems(Path("r"), TomlLines(text))
    common = read_common(Table(tomllib.loads(text), (), problems))
    try:
        problems.raise_if_any()
    except RoutesError as error:
        assert common is None
        return [problem.removeprefix("r:") for problem in error.problems]
    assert common is not None
    return common


def test_the_least():
    assert read("name = 'a'\nkind = 'syslog'") == SourceCommon("a", {}, False, None)


def test_all_that_can_be_said():
    text = """
name = 'web-1.log_s'
kind = 'thrift'
headers = { type = "syslog", "x y" = "é" }
override = true
reliability = "store-on-failure"
"""
    assert read(text) == SourceCommon("web-1.log_s", {"type": "syslog", "x y": "é"}, True, "store-on-failure")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "1: : missing key 'name'"),
        ("name = 'a b'", "1: name: 'a b' is not 1 to 100 of A-Z a-z 0-9 . _ -, the first a letter or a digit"),
        ("name = ''", "1: name: is empty"),
        ("name = 'http'", "1: name: 'http' is the name of a source that is always there"),
        ("name = 'a'\nheaders = 'b'", "2: headers: must be a table, not a string 'b'"),
        ("name = 'a'\nheaders = { b = 1 }", "2: headers.b: must be a string, not a whole number 1"),
        ("name = 'a'\nheaders = { '' = 'b' }", "2: headers: has a header without a name"),
        ("name = 'a'\noverride = 'yes'", "2: override: must be true or false, not 'yes'"),
        (
            "name = 'a'\nreliability = 'best'",
            "2: reliability: 'best' is not end-to-end, store-on-failure or best-effort",
        ),
        (
            "name = 'a'\nkind = 'tail'\nreliability = 'best-effort'",
            "3: reliability: a file is its own spool: its lines are read again until Kafka has them; remove it",
        ),
    ],
)
def test_what_is_wrong_is_said(line, problem):
    assert read(line) == [problem]
