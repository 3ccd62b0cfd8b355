"""How a business line is taken apart, by format: bytes to values by name, without their types yet."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from parsers.errors import ParseError
from parsers.escapes import hide_escapes, show_escapes, undo_escapes

Values = dict[str, Any]

NOT_JSON: Final = "not_json"
NOT_AN_OBJECT: Final = "not_an_object"
NO_MATCH: Final = "no_match"
TOO_LONG: Final = "too_long"

# Longer lines of text formats are refused.
_MAX_TEXT_BYTES: Final = 1 << 20
# An expression that may begin anywhere is tried at each character. `(?P<a>\w*) ` took 0.8 s for 20 KB of letters: time
# grows with the square of the line, and whoever can post lines could stop the monitoring with one of a megabyte.
_MAX_SEARCHED_BYTES: Final = 8_192
_ANCHORED: Final = ("^", r"\A")

# A key begins the line or follows a blank or comma. A quoted value ends at its quote, any other at a blank or comma.
_PAIR: Final = re.compile(r"""(?<![^\s,])([\w.@/-]+)=(?:"([^"]*)"|'([^']*)'|([^\s,]*))""")

_BARE_PAIR: Final = re.compile(r"(?<![^\s,])([\w.@/-]+)=([^\s,]*)")  # the same for a line without quotes


def json_values(body: bytes) -> Values:
    """The members of a JSON object in UTF-8; of duplicate keys the last.

    Raises ParseError (`not_json`, also for NaN, Infinity, lone surrogates and bad UTF-8; `not_an_object`).
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(NOT_JSON, f"not JSON: {error}") from None
    if type(value) is not dict:
        raise ParseError(NOT_AN_OBJECT, f"JSON, but no object: {body[:100]!r}")
    return value


def json_values_of(bodies: Sequence[bytes]) -> list[Values] | None:
    """The same for several bodies; None where one is refused."""
    try:
        values = list(map(orjson.loads, bodies))
    except orjson.JSONDecodeError:
        return None
    return values if frozenset((dict,)).issuperset(map(type, values)) else None


def compile_key_value() -> Callable[[bytes], Values]:
    r"""A function for lines like `2026-11-21 paid order=17 note="two words" by='x', a=1`.

    Pairs are taken wherever they stand, separated by blanks or commas; other words are ignored; of duplicate keys the
    last wins. In quotes `\"`, `\'`, `\\`, `\n`, `\t`, `\uXXXX` and the like are undone. The function raises ParseError
    (`no_match` for a line without any pair, `too_long`).
    """

    def values(body: bytes) -> Values:
        text = _text(body)
        escapes = "\\" in text
        if escapes:
            text = hide_escapes(text)
        if '"' not in text and "'" not in text and not escapes:
            found: Values = dict(_BARE_PAIR.findall(text))
            if not found:
                raise ParseError(NO_MATCH, f"no key=value pair in {body[:100]!r}")
            return found
        found = {}
        for key, double, single, bare in _PAIR.findall(text):
            if bare:
                found[key] = show_escapes(bare) if escapes else bare
            else:
                found[key] = undo_escapes(double or single) if escapes else double or single
        if not found:
            raise ParseError(NO_MATCH, f"no key=value pair in {body[:100]!r}")
        return found

    return values


def compile_regex(regex: str, names: Sequence[str]) -> Callable[[bytes], Values]:
    """A function for lines in which a regular expression is found (anywhere, unless it is anchored).

    Values are its named groups; one that took no part in the match is absent. The function raises ParseError
    (`no_match`, `too_long`: 8 KiB for an expression that doesn't begin with `^` or `\\A`, as its time may grow with the
    square of the line). Raises ValueError for a wrong expression, and for a name in `names` that isn't a group.
    """
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise ValueError(f"regex: {error}") from None
    missing = [name for name in names if name not in compiled.groupindex]
    if missing:
        raise ValueError(f"regex: no group named {', '.join(missing)}; write it as (?P<{missing[0]}>...)")

    max_bytes = _MAX_TEXT_BYTES if regex.startswith(_ANCHORED) else _MAX_SEARCHED_BYTES

    def values(body: bytes) -> Values:
        match = compiled.search(_text(body, max_bytes))
        if match is None:
            raise ParseError(NO_MATCH, f"the route's regex is not found in {body[:100]!r}")
        return match.groupdict()

    return values


def _text(body: bytes, max_bytes: int = _MAX_TEXT_BYTES) -> str:
    if len(body) > max_bytes:
        raise ParseError(TOO_LONG, f"{len(body)} bytes; lines of this format may have {max_bytes}")
    return body.decode("utf-8", "replace").rstrip("\r\n")
