"""Backslash escapes of log lines: hidden while a line is cut into fields, undone in the fields.

An escaped quote must not end a quoted field. A regular expression that steps over escapes one by one costs time in
every line and some 200 bytes of memory for each escape (a 16 MiB line of backslashes: 1.6 GB), so lines that have a
backslash are rewritten first: each escaped backslash and each escaped quote becomes one character that no decoded text
can contain.
"""

from __future__ import annotations

import re
from typing import Final

# Lone surrogates: `bytes.decode(errors="replace")` never makes one, so they cannot be mistaken for the line's own text.
_BACKSLASH: Final = "\ud800"
_DOUBLE_QUOTE: Final = "\ud801"
_SINGLE_QUOTE: Final = "\ud802"

_PLAIN: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "b": "\b"}
_HIGH: Final = r"u(?P<high>[dD][89abAB][0-9a-fA-F]{2})"
_LOW: Final = r"u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})"
_ESCAPE: Final = re.compile(rf"\\(?:{_HIGH}\\{_LOW}|u(?P<unit>[0-9a-fA-F]{{4}})|(?P<plain>[nrtfb]))")


def hide_escapes(text: str) -> str:
    r"""The same text with each `\\`, `\"` and `\'` as one stand-in character each, paired from the left.

    Only for text without lone surrogates; what comes back is for matching only, and `undo_escapes` or `show_escapes`
    must be called on every part of it that is kept.
    """
    text = text.replace("\\\\", _BACKSLASH)
    if "\\" in text:
        text = text.replace('\\"', _DOUBLE_QUOTE).replace("\\'", _SINGLE_QUOTE)
    return text


def show_escapes(text: str) -> str:
    """The text as it was before `hide_escapes`."""
    return text.replace(_SINGLE_QUOTE, "\\'").replace(_DOUBLE_QUOTE, '\\"').replace(_BACKSLASH, "\\\\")


def undo_escapes(text: str) -> str:
    r"""The value that was escaped, from text that went through `hide_escapes`.

    Undone are `\"`, `\'`, `\\`, `\b`, `\f`, `\n`, `\r`, `\t` and `\uXXXX` (surrogate pairs become one character, a lone
    surrogate U+FFFD, so that the value can always be written as UTF-8). Any other backslash stays.
    """
    if "\\" in text:
        text = _ESCAPE.sub(_undo, text)
    return text.replace(_SINGLE_QUOTE, "'").replace(_DOUBLE_QUOTE, '"').replace(_BACKSLASH, "\\")


def replace_surrogates(text: str) -> str:
    """The text with every lone surrogate as U+FFFD, fit for UTF-8."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _undo(match: re.Match[str]) -> str:
    plain, unit, high, low = match.group("plain", "unit", "high", "low")
    if plain is not None:
        return _PLAIN[plain]
    if unit is not None:
        code = int(unit, 16)
        return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
    return chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + (int(low, 16) - 0xDC00))
