"""One `[[source]]` table of kind `tail`."""

from pathlib import Path

import pytest

from config.errors import RoutesError
from config.routes import load
from config.source import SourceCommon
from config.tail_source import TailSource

HEAD = "[[source]]\nname = 'n'\nkind = 'tail'\n"
LEAST = HEAD + "paths = ['/x/*.log']\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        file = tmp_path / "routes.toml"
        file.write_text(text, encoding="utf-8")
        (source,) = load(file, check_pattern=lambda pattern, tomcat: None).sources
        return source

    return read


def test_the_least(read):
    common = SourceCommon("n", {}, False, None)
    assert read(LEAST) == TailSource(common, ("/x/*.log",), "beginning", None, 3.0, 300.0, 256, None)


def test_everything(read):
    text = """
start = "end"
multiline = '\\d+ '
quiet_s = 0.5
rotated_s = 60
max_open_files = 16
import_positions = "/var/flume/taildir_position.json"
headers = { type = "x" }
override = true
"""
    common = SourceCommon("n", {"type": "x"}, True, None)
    position_file = Path("/var/flume/taildir_position.json")
    assert read(LEAST + text) == TailSource(common, ("/x/*.log",), "end", "\\d+ ", 0.5, 60, 16, position_file)


@pytest.mark.parametrize(("text", "value"), [("none", None), ("catalina", "catalina"), ("^x", "^x")])
def test_multiline(read, text, value):
    assert read(LEAST + f"multiline = '{text}'").multiline == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD, "missing key 'paths'"),
        (HEAD + "paths = []", "is empty: nothing would be read"),
        (HEAD + "paths = ['/var/log/']", "names no files"),
        (HEAD + 'paths = ["/a\\u0000b"]', "names no files"),
        (LEAST + "start = 'now'", "'now' is not beginning or end"),
        (LEAST + "multiline = '('", 'must be "none", "catalina" or a regular expression'),
        (LEAST + "multiline = 'x*'", "fits every line"),
        (LEAST + "quiet_s = '3'", "must be a number, not a string"),
        (LEAST + "quiet_s = 0", "0 is not a number from 0.1 to 3600"),
        (LEAST + "rotated_s = true", "must be a number, not a boolean"),
        (LEAST + "max_open_files = 20.5", "20.5 is not a whole number from 16 to 100000"),
        (LEAST + "import_positions = 1", "must be a string"),
        (LEAST + "headers = { tail = 'x' }", "is what Sluice itself knows its records by"),
        (LEAST + "reliability = 'best-effort'", "a file is its own spool"),
        (LEAST + "path = '/x'", "unknown key; did you mean 'paths'?"),
    ],
)
def test_what_is_wrong_is_named(read, text, problem):
    with pytest.raises(RoutesError) as raised:
        read(text)
    assert problem in "\n".join(raised.value.problems)
