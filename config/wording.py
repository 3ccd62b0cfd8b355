"""How keys and values appear in messages: short, without secrets, and with nothing that a terminal would obey."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SHOWN_CHARACTERS = 120  # enough to recognise a value, and a whole message still fits a log line

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_QUERY_VALUE = re.compile(r"([?&][^=&]*=)[^&]*")


def printable(text: str) -> str:
    """`text` with control characters, escape sequences and lone surrogates written out, as in `\\x1b`."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def quoted(value: object) -> str:
    """`value` as Python writes it, control characters escaped, cut short when long."""
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def without_secrets(text: str) -> str:
    """An address with the password and the values of its query replaced by `***`.

    A password may itself hold `@`, `/` and `:`. So everything goes from the first colon after the scheme to the last
    `@`; in an address that is wrong anyway, hiding too much is harmless.
    """
    scheme = match[0] if (match := _SCHEME.match(text)) else ""
    user, colon, tail = text.removeprefix(scheme).partition(":")
    if colon and "@" in tail:
        text = f"{scheme}{user}:***@{tail.rpartition('@')[2]}"
    return _QUERY_VALUE.sub(r"\1***", text)


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """`; did you mean 'x'?` for the nearest known name, or nothing where none is near.

    A `prefix` that all names share is left out of the comparison, since it makes any two of them look alike.
    """
    suffixes = [word.removeprefix(prefix) for word in known]
    near = difflib.get_close_matches(name.removeprefix(prefix), suffixes, n=1, cutoff=0.6)
    return f"; did you mean '{prefix}{near[0]}'?" if near else ""


def listed(names: Iterable[str]) -> str:
    """`a, b or c`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
