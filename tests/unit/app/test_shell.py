"""Text that commands print."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.shell import escaped, plain, table


def test_control_characters_can_do_nothing_to_a_terminal() -> None:
    assert escaped("\x1b[31mred\x1b[0m\r\n\x00\x9b2J") == r"\x1b[31mred\x1b[0m\r\n\x00\x9b2J"


def test_text_can_not_be_turned_around() -> None:
    assert escaped("a\u202egpj.exe\u2066") == r"a\u202egpj.exe\u2066"


def test_lone_surrogates_are_shown_as_what_they_are() -> None:
    assert escaped("\ud800") == r"\ud800"


def test_what_people_write_stays() -> None:
    assert escaped("Größe 日本 🚰") == "Größe 日本 🚰"


def test_long_text_is_cut() -> None:
    assert escaped("x" * 1000, 10) == "xxxxxxxxx…"


@given(st.text(alphabet=st.characters(codec=None), max_size=30))
def test_whatever_it_is_one_printable_line_comes_out(text: str) -> None:
    assert escaped(text).isprintable()


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    assert table(["GROUP", "LAG", "UP"], [["a", 1234567, True], ["much longer", None, False]]).splitlines() == [
        "GROUP              LAG  UP",
        "a            1,234,567  yes",
        "much longer          -  no",
    ]


def test_an_empty_table_has_its_headers() -> None:
    assert table(["GROUP", "LAG"], []) == "GROUP  LAG"


def test_json_for_programs_has_no_text_that_utf8_has_no_place_for() -> None:
    assert plain({"a\ud800": ["\udfff", 1, None, True]}) == {"a?": ["?", 1, None, True]}
