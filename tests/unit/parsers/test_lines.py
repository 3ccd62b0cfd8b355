"""Plain text becomes lines."""

from __future__ import annotations

import pytest

from parsers.lines import split_lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"one", [b"one"]),
        (b"one\ntwo\n", [b"one", b"two"]),
        (b"one\r\ntwo\r\n\r\nthree", [b"one", b"two", b"three"]),
        (b"one\r", [b"one"]),
        (b"one\rtwo\n", [b"one\rtwo"]),
        (b"one\r\r\ntwo", [b"one\r", b"two"]),
        (b" \n\t\n", [b" ", b"\t"]),
        (b"\xff\0\x1b[31m\n../<b>\x0b\x0c\x85\xe2\x80\xa8x", [b"\xff\0\x1b[31m", b"../<b>\x0b\x0c\x85\xe2\x80\xa8x"]),
    ],
)
def test_only_line_feeds_end_lines_and_all_else_is_kept(text: bytes, lines: list[bytes]) -> None:
    assert split_lines(text) == lines
