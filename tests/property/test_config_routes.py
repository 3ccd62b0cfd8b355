"""Any file gives Routes or a RoutesError whose every line says where."""

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import RoutesError
from config.routes import Routes, load
from config.settings import SHIPPED_ROUTES

SHIPPED = SHIPPED_ROUTES.read_bytes()
SHARED_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
PIECES = st.sampled_from(
    [
        b"",
        b"\n",
        b"'",
        b'"""',
        b"[",
        b"]",
        b"[[",
        b"=",
        b"{",
        b"}",
        b",",
        b"1",
        b"true",
        b"[]",
        b"{}",
        b"\xff",
        b"\x1b",
        b"[[business]]\n",
        b"[[source]]\n",
        b"regex = '('\n",
        b"ts",
        b"'str'",
        b"1979-05-27",
        b"\\u001b",
    ]
)

# One right value a line: spoiling a line must be told with that very line.
LINES = {
    1: ["[access_log]"],
    2: ["patterns = ["],
    3: ["  'common',", "  7,", "  '',", "  'bad',"],
    4: ["]"],
    5: ["tomcat = 10", "tomcat = 7", "tomcat = 'x'", "tomact = 10"],
    6: ["[[business]]"],
    7: ["name = 'a'", "name = 'a/b'", "name = 1"],
    8: ["logger = '*'", "logger = ''"],
    9: ["format = 'json'", "format = 'xml'", "format = 'json'\nextra = 1"],
    10: ["[business.fields]"],
    11: ["n = 'int'", "n = 'integer'"],
    12: ["s = 'str'", "s = 1", "ts = 'int'\ns = 'str'"],
    13: ["[business.metrics.m]"],
    14: ["sum = 'n'", "sum = 's'", "sum = 'x'", "sum = 1"],
    15: ["[[business]]"],
    16: ["name = 'b'", "name = 'a'", "name = 'b/'"],
    17: ["logger = '*'", "logger = []"],
    18: ["format = 'regex'"],
    19: ["regex = '(?P<at>.)(?P<n>.)'", "regex = '('"],
    20: ["timestamp = 'at'", "timestamp = 0"],
    21: ["group_by = [", "group_by = [ 1,", "group_by = [ 'x',"],
    22: ["  'n',", "  'm',", "  'n', 'n',"],
    23: ["]"],
    24: ["fields.n = 'str'", "fields.n = 's'"],
}


def check_pattern(pattern, tomcat):
    if pattern not in {"combined", "common"}:
        raise ValueError(f"cannot compile {pattern!r}")


def read(folder, content):
    """The routes, or the error, after a look at each of its lines."""
    file = folder / "routes.toml"
    file.write_bytes(content)
    try:
        return load(file, check_pattern=check_pattern)
    except RoutesError as raised:
        error = raised
    assert error.problems
    for problem in error.problems:
        assert problem.isprintable()
        match = re.match(re.escape(str(file)) + r"(?::(\d+))?: .", problem)
        assert match, problem
        assert match[1] is None or 1 <= int(match[1]) <= content.count(b"\n") + 1
    return error


@given(st.binary() | st.text().map(str.encode) | st.lists(PIECES).map(b"".join))
@SHARED_FOLDER
def test_any_bytes_are_routes_or_a_list_of_problems(tmp_path, content):
    assert isinstance(read(tmp_path, content), Routes | RoutesError)


@given(st.integers(0, len(SHIPPED)), st.integers(0, 40), PIECES)
@SHARED_FOLDER
def test_the_shipped_file_spoilt_anywhere_is_routes_or_a_list_of_problems(tmp_path, at, length, piece):
    assert isinstance(read(tmp_path, SHIPPED[:at] + piece + SHIPPED[at + length :]), Routes | RoutesError)


@given(st.sampled_from([(line, bad) for line, choices in LINES.items() for bad in choices[1:]]), st.integers(0, 3))
@SHARED_FOLDER
def test_one_spoilt_line_is_the_line_that_is_named(tmp_path, spoilt, blank_lines):
    line, bad = spoilt
    content = "\n" * blank_lines + "\n".join(bad if number == line else good for number, (good, *_) in LINES.items())
    error = read(tmp_path, content.encode())
    assert isinstance(error, RoutesError)
    # An added line stands below the one that it was put to, or above it.
    first, last = line + blank_lines, line + blank_lines + bad.count("\n")
    assert all(first <= int(problem.split(":")[1]) <= last for problem in error.problems), error


@given(st.data())
@SHARED_FOLDER
def test_several_spoilt_lines_are_all_named(tmp_path, data):
    spoilt = data.draw(st.sets(st.sampled_from([3, 5, 8, 11, 14, 17, 20, 22]), min_size=1))
    rows = [choices[1] if number in spoilt else choices[0] for number, choices in LINES.items()]
    error = read(tmp_path, "\n".join(rows).encode())
    assert isinstance(error, RoutesError)
    named = [int(problem.split(":")[1]) for problem in error.problems]
    assert named == sorted(named)
    assert spoilt <= set(named)


def test_the_unspoilt_lines_are_right(tmp_path):
    assert isinstance(read(tmp_path, "\n".join(good for good, *_ in LINES.values()).encode()), Routes)


@pytest.mark.parametrize("path", ["", ".", "/", "/dev/null/x"])
def test_paths_that_are_no_file(path):
    with pytest.raises(RoutesError):
        load(Path(path), check_pattern=check_pattern)
