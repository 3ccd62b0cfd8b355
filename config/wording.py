"""How keys and values appear in messages: short, without secrets, and with nothing that a terminal would obey."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_SHOWN_CHARACTERS = 120  # enough to recognise a value, and a whole message still fits a log line

# From the first colon after the scheme to the last @: a password may itself hold @ and /. Hiding too much is harmless.
_CREDENTIALS = re.compile(r"^((?:[a-z]+://)?[^@:]*:).*@", re.IGNORECASE | re.DOTALL)
_QUERY_VALUE = re.compile(r"([?&][^=&]*=)[^&]*")


def quoted(value: object) -> str:
    """`value` as Python writes it, control characters escaped, cut short when long."""
    text = repr(value)
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(text)} characters)"


def without_secrets(text: str) -> str:
    """An address with the password and the values of its query replaced by `***`."""
    return _QUERY_VALUE.sub(r"\1***", _CREDENTIALS.sub(r"\1***@", text))


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
