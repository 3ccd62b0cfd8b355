"""The locator against tomllib: it finds the same keys, and each on the line where it was written."""

import sys
from datetime import date

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from config.toml_lines import TomlLines

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BARE = st.text("abAB09_-", min_size=1, max_size=3)
KEYS = BARE | st.text("a.\"'\\=[]#{}é \n\t", max_size=4)
BLANKS = st.sampled_from(["", "", "", "\n", " # x = [ '\n", "\n\n#[t]\n"])


def quoted_key(key):
    if key and all(character in "abAB09_-" for character in key):
        return key
    escaped = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escaped.get(character, character) for character in key) + '"'


class Writer:
    """Writes TOML and remembers on which line it put what."""

    def __init__(self, draw):
        self.text = ""
        self.lines = {}
        self._draw = draw

    def mark(self, path, *, again=False):
        line = self.text.count("\n") + 1
        if again:
            self.lines[path] = line
        self.lines.setdefault(path, line)

    def blank(self):
        self.text += self._draw(BLANKS)

    def value(self, path, depth):
        kind = self._draw(st.sampled_from(["plain", "plain", "array", "inline"] if depth else ["plain"]))
        if kind == "array":
            self.array(path, depth)
        elif kind == "inline":
            self.inline(path, depth)
        else:
            self.text += self._draw(
                st.sampled_from(
                    [
                        "1",
                        "-2.5e3",
                        "true",
                        "1979-05-27",
                        "1979-05-27 07:32:00.5+01:00",
                        "'x = [\"'",
                        '"\\" ] } # \\\\"',
                        "''",
                        '""',
                        "'''\n'' \\'''''",
                        '"""\n[t]\n\\"""\\\n """',
                        '""""two""\n"""""',
                    ]
                )
            )

    def array(self, path, depth):
        self.text += "["
        for index in range(self._draw(st.integers(0, 3))):
            self.blank()
            self.mark((*path, index))
            self.value((*path, index), depth - 1)
            self.blank()
            self.text += ","
        self.blank()
        self.text += "]"

    def inline(self, path, depth):
        self.text += "{"
        for number, key in enumerate(self._draw(st.lists(KEYS, max_size=3, unique=True))):
            self.text += ", " if number else " "
            self.pair((*path, key), [key], depth - 1)
        self.text += "}"

    def pair(self, path, keys, depth):
        for length in range(len(keys)):
            self.mark(path[: len(path) - len(keys) + length + 1])
        self.text += " . ".join(map(quoted_key, keys)) + self._draw(st.sampled_from(["=", " = "]))
        self.value(path, depth)

    def body(self, table):
        """Keys of one table, some of them dotted; none is used twice."""
        for key in self._draw(st.lists(KEYS, max_size=3, unique=True)):
            # A prefix of its own keeps dotted keys and sub-tables from meeting.
            keys = [f"k{key}", *self._draw(st.lists(KEYS, max_size=2))]
            self.blank()
            self.pair((*table, *keys), keys, 2)
            self.text += "\n"

    def header(self, table, keys, brackets):
        self.blank()
        if self.text and not self.text.endswith("\n"):
            self.text += "\n"
        parent = table[: len(table) - len(keys)]
        for length in range(1, len(keys)):
            self.mark((*parent, *keys[:length]))
        self.mark(table, again=True)
        name = ".".join(map(quoted_key, [key for key in table if isinstance(key, str)]))
        self.text += f"{'[' * brackets} {name} {']' * brackets}\n"


@st.composite
def documents(draw):
    writer = Writer(draw)
    writer.body(())
    for key in draw(st.lists(KEYS, max_size=4, unique=True)):
        name = f"t{key}"
        if draw(st.booleans()):
            table = (name, *draw(st.lists(KEYS, max_size=2)))
            writer.header(table, list(table), 1)
            writer.body(table)
            continue
        for index in range(draw(st.integers(1, 3))):
            writer.blank()
            if writer.text and not writer.text.endswith("\n"):
                writer.text += "\n"
            if index == 0:
                writer.mark((name,))
            writer.mark((name, index))
            writer.text += f"[[{quoted_key(name)}]]\n"
            writer.body((name, index))
            if draw(st.booleans()):
                writer.header((name, index, "s"), ["s"], 1)
                writer.body((name, index, "s"))
    return writer.text, writer.lines


def paths(value, path=()):
    """Every way into what tomllib has read."""
    found = {path} if path else set()
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        found |= paths(member, (*path, key))
    return found


@given(documents(), st.sampled_from(["\n", "\r\n"]))
@settings(max_examples=300, deadline=None)
def test_every_key_is_found_on_the_line_where_it_was_written(document, newline):
    text, lines = document
    text = text.replace("\n", newline)
    assert paths(tomllib.loads(text)) == set(lines), "the writer of this test made something else than it meant"
    assert TomlLines(text).found == lines


STATEMENTS = st.sampled_from(
    [
        "[a]",
        "[a.b]",
        "[ a . b . c ]",
        "[b.'a']",
        "[[c]]",
        "[[c.a]]",
        "[c.b]",
        "[[ c.a.b ]]",
        "a=1",
        "a.b=1",
        "b . c.a = 2",
        "b.d = {}",
        "c = [{a=1},{b.c=[1,[2]]}]",
        '"a.b" = """x\n"""',
        "''='''\n'''",
        "d = [ # ]\n1,\n 2 ]",
        "e = 1979-05-27 07:32:00",
        "# [x]",
        "",
        'f = "\\u0041]"',
    ]
)


@given(st.lists(STATEMENTS, max_size=8), st.sampled_from(["\n", "\r\n"]))
@example(["[a.b]", "[a]"], "\n")
@settings(max_examples=500, deadline=None)
def test_whatever_tomllib_accepts_is_found_whole(statements, newline):
    text = newline.join(statements)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    found = TomlLines(text).found
    assert set(found) == paths(document)
    for path, line in found.items():
        assert path[:-1] == () or isinstance(path[-1], str) or found[path[:-1]] <= line
        assert 1 <= line <= text.count("\n") + 1


@given(st.text() | st.text("a=.[]{}'\",\n\\# 1\r"))
@example("'\x1f' = 1")
@settings(deadline=None)
def test_any_text_is_scanned_to_an_end(text):
    found = TomlLines(text)
    assert all(1 <= line <= text.count("\n") + 1 for line in found.found.values())
    assert found.line(("a", 0, "b")) >= 1


def test_the_values_of_this_test_are_what_they_look_like():
    assert tomllib.loads('a = """"two""\n"""""')["a"] == '"two""\n""'
    assert tomllib.loads("a = 1979-05-27")["a"] == date(1979, 5, 27)
