"""utf-8, utf-16 and utf-32 become UTF-8."""

from __future__ import annotations

import codecs

import pytest

from parsers.charset import known_charset, to_utf8
from parsers.errors import ParseError

TEXT = '[{"body": "Grüße, 世界 😀"}]'


@pytest.mark.parametrize("name", ["utf-8", "UTF-8", "utf8", "UTF-16", "utf-16le", "UTF-16BE", "utf-32", "UTF-32LE"])
def test_known_names(name: str) -> None:
    assert known_charset(name)


@pytest.mark.parametrize("name", ["", "latin-1", "iso-8859-1", "us-ascii", "cp1252", "utf-7", "utf-8-sig", "x" * 1000])
def test_unknown_names(name: str) -> None:
    assert not known_charset(name)


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("said", ["", "le", "be"])
def test_every_byte_order_with_and_without_a_mark(name: str, order: str, marked: bool, said: str) -> None:
    if said and said != order and not marked:
        said = order  # a wrong byte order is only noticed where there is a mark
    mark = {"utf-16": "\ufeff", "utf-32": "\ufeff"}[name] if marked else ""
    assert to_utf8((mark + TEXT).encode(f"{name}-{order}"), name + said) == TEXT.encode()


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_big_endian_where_nothing_tells(name: str) -> None:
    assert to_utf8("世界".encode(f"{name}-be"), name) == "世界".encode()


def test_utf8_is_left_as_it_is() -> None:
    for name in ("utf-8", None):
        assert to_utf8(b"\xff\xfe\0" + codecs.BOM_UTF8, name) == b"\xff\xfe\0" + codecs.BOM_UTF8


def test_nothing_stays_nothing() -> None:
    assert to_utf8(b"", "utf-16") == b""


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (b"a", "utf-16"),
        (b"[\0]", "utf-16"),
        ("\ud800".encode("utf-16-le", "surrogatepass") + b"a\0", "utf-16le"),
        (b"abc", "utf-32"),
        (b"\x00\x11\x00\x00", "utf-32be"),
    ],
)
def test_bytes_that_are_not_of_that_charset(text: bytes, name: str) -> None:
    with pytest.raises(ParseError) as refused:
        to_utf8(text, name)
    assert refused.value.reason == "bad_charset"
    assert f"not {name}" in str(refused.value)
