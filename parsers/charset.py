"""Turns text in the charsets that Flume's HTTP source knows (utf-8, utf-16, utf-32) into UTF-8."""

from __future__ import annotations

import codecs

from parsers.errors import ParseError

# The names of RFC 2781 and the Unicode standard, and Python's and Java's spellings of them.
_UTF_8 = {"utf-8", "utf8"}
_WIDE = {
    "utf-16": ("utf-16", 2),
    "utf16": ("utf-16", 2),
    "utf-16le": ("utf-16-le", 2),
    "utf-16-le": ("utf-16-le", 2),
    "utf-16be": ("utf-16-be", 2),
    "utf-16-be": ("utf-16-be", 2),
    "utf-32": ("utf-32", 4),
    "utf32": ("utf-32", 4),
    "utf-32le": ("utf-32-le", 4),
    "utf-32-le": ("utf-32-le", 4),
    "utf-32be": ("utf-32-be", 4),
    "utf-32-be": ("utf-32-be", 4),
}


def known_charset(name: str) -> bool:
    """Whether `to_utf8` reads the charset of this name; upper and lower case are the same."""
    lowered = name.lower()
    return lowered in _UTF_8 or lowered in _WIDE


def to_utf8(text: bytes, charset: str | None) -> bytes:
    """`text` as UTF-8. UTF-8 comes back as it is, not checked; of a wide charset the byte order mark is removed.

    Without a mark, `utf-16` and `utf-32` take the byte order that makes the first character ASCII, as the first of
    JSON always is, and big endian (RFC 2781) where neither does. A mark also corrects `utf-16le` and the like.

    Raises: ParseError if the bytes are not in that charset.
    """
    name = (charset or "utf-8").lower()
    if name in _UTF_8:
        return text
    codec, width = _WIDE[name]
    codec = _byte_order(text, codec, width)
    try:
        decoded = text.decode(codec)
        return decoded.removeprefix("\ufeff").encode()
    except UnicodeError as error:
        raise ParseError("bad_charset", f"the body is not {name}: {_explain(error)}") from None


def _byte_order(text: bytes, codec: str, width: int) -> str:
    family = codec[:6]
    little, big = (
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) if width == 2 else (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
    )
    first = text[:width]
    if first == little:
        return f"{family}-le"
    if first == big:
        return f"{family}-be"
    if codec != family:
        return codec
    return f"{family}-le" if first[:1] != b"\0" and first[1:] == bytes(width - 1) else f"{family}-be"


def _explain(error: UnicodeError) -> str:
    if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)):
        return f"{error.reason} at {error.start}"
    return str(error)
