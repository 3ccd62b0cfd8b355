"""Where keys and values of a TOML document stand."""

import pytest

from config.toml_lines import TomlLines


def lines(*text):
    return TomlLines("\n".join(text)).found


def test_keys_and_tables():
    assert lines("# comment", "a = 1", "", "[t]", "b = 2 # c = 3", "[t.u]", "'c d' = 4", '"\\u0065" = 5') == {
        ("a",): 2,
        ("t",): 4,
        ("t", "b"): 5,
        ("t", "u"): 6,
        ("t", "u", "c d"): 7,
        ("t", "u", "e"): 8,
    }


def test_dotted_keys_and_tables_that_are_only_mentioned():
    assert lines("a . b.c = 1", "a.b.d = 2", "[ x . 'y.z' ]", "k = 1", "[x]", "l = 1") == {
        ("a",): 1,
        ("a", "b"): 1,
        ("a", "b", "c"): 1,
        ("a", "b", "d"): 2,
        ("x",): 5,
        ("x", "y.z"): 3,
        ("x", "y.z", "k"): 4,
        ("x", "l"): 6,
    }


def test_arrays_of_tables():
    text = ("[[b]]", "n = 1", "[b.s]", "x = 1", "[[b.t]]", "[[b.t]]", "y = 1", "[[b]]", "[b.s]", "[[ b . t ]]", "z=1")
    assert lines(*text) == {
        ("b",): 1,
        ("b", 0): 1,
        ("b", 0, "n"): 2,
        ("b", 0, "s"): 3,
        ("b", 0, "s", "x"): 4,
        ("b", 0, "t"): 5,
        ("b", 0, "t", 0): 5,
        ("b", 0, "t", 1): 6,
        ("b", 0, "t", 1, "y"): 7,
        ("b", 1): 8,
        ("b", 1, "s"): 9,
        ("b", 1, "t"): 10,
        ("b", 1, "t", 0): 10,
        ("b", 1, "t", 0, "z"): 11,
    }


def test_arrays_over_several_lines():
    assert lines("a = [ # first", " 'x', [", "", "1,", "2 ] ,", "# ] no end", "{ k = 1 },", "]", "b = []") == {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 1): 2,
        ("a", 1, 0): 4,
        ("a", 1, 1): 5,
        ("a", 2): 7,
        ("a", 2, "k"): 7,
        ("b",): 9,
    }


def test_inline_tables():
    assert lines("", "a = { b = { c.d = '}' }, e = [ {}, 1 ] }", "f={}") == {
        ("a",): 2,
        ("a", "b"): 2,
        ("a", "b", "c"): 2,
        ("a", "b", "c", "d"): 2,
        ("a", "e"): 2,
        ("a", "e", 0): 2,
        ("a", "e", 1): 2,
        ("f",): 3,
    }


@pytest.mark.parametrize(
    ("value", "height"),
    [
        ('"]}, # = \\" \\\\"', 1),
        ("'\\'", 1),
        ('""', 1),
        ("''", 1),
        ('"""\nx = 1\n[t]\n"""', 4),
        ('"""\n\\""" ""\\\n  """', 3),
        ('"""two at the end"""""', 1),
        ("'''\n'' \\\n''''", 3),
        ("'''two at the end'''''", 1),
        ("1979-05-27 07:32:00Z", 1),
        ("-inf", 1),
        ("0xff", 1),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_value_ends_where_it_ends(value, height, newline):
    text = f"a = {value}\nz = [\n{value}\n,2]\n".replace("\n", newline)
    assert TomlLines(text).found == {
        ("a",): 1,
        ("z",): height + 1,
        ("z", 0): height + 2,
        ("z", 1): 2 * height + 2,
    }


def test_what_is_missing_stands_where_the_table_around_it_does():
    found = TomlLines("\n[[b]]\n\n[[b]]\nn = 1")
    assert found.line(("b", 1, "nope", 3)) == 4
    assert found.line(("nope",)) == 1
    assert found.line(()) == 1


@pytest.mark.parametrize(
    "rest", ["c = <new syntax>", "c = [1; 2]", "c: 1", "[c", "= 1", "c = '''x", 'c = "x', "c = {", "c ="]
)
def test_syntax_that_is_not_known_ends_the_search_and_raises_nothing(rest):
    found = TomlLines(f"a = 1\n[b]\n{rest}\nd = 1")
    assert found.line(("a",)) == 1
    assert found.line(("b", "c", "x")) in (2, 3)
    assert found.line(("b",)) == 2


def test_long_values_take_no_long_time():
    text = (
        "a = '''" + "x\\\n" * 200_000 + "'''\nb = \"\"\"" + "\\\\\n" * 200_000 + '"""\nc = "' + "\\\\" * 200_000 + '"'
    )
    assert TomlLines(text).found == {("a",): 1, ("b",): 200_002, ("c",): 400_003}
