"""The usual form of a pattern's lines, as steps for a splitter that looks at each byte about once (`parsers/_access`).

The pattern's regular expression decides what a line says. The steps are for those lines only of which it is certain
without it: each field ends at the first place where it can end, and all that follows fits. Why the expression then
finds the same is in docs/decisions/0012-compiled-parts.md. A line that does not go through the steps may well be of the
pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from parsers.tomcat_fields import Field

# number: up to 18 digits, or '-'. status: up to 9. taken: digits with or without a fraction. stamp: Tomcat's own %t.
# flag: of %X. dash: of %l. protocol: a word that begins with HTTP/. word: no blanks in it. text: up to what follows.
# forwarded: addresses, of which the first is kept.
Kind = Literal[
    "number", "status", "taken", "stamp", "flag", "dash", "protocol", "word", "text", "forwarded", "request"
]  # fmt: skip


class Step(NamedTuple):
    """One field and the text before it."""

    before: bytes
    kind: Kind
    role: str | None  # of tomcat_fields.ROLES; None: not kept


class Steps(NamedTuple):
    """All fields of a line, and the text after the last one."""

    fields: tuple[Step, ...]
    tail: bytes


def usual_steps(texts: Sequence[str], fields: Sequence[Field]) -> Steps | None:
    """The steps of a pattern: `texts` are before each field and after the last, as in a line.

    None for a pattern with anything that takes more than a look at the next stop: parts of a time or of a target,
    fields with nothing between, text that isn't printable ASCII (tabs are fine).
    """
    if not all(map(_is_plain, texts)) or not all(texts[1:-1]):
        return None
    found = []
    for field, before, after in zip(fields, texts, texts[1:], strict=False):
        kind = _kind(field, after)
        if kind is None:
            return None
        found.append(Step(before.encode(), kind, field.role))
    return Steps(tuple(found), texts[-1].encode())


def _is_plain(text: str) -> bool:
    return text.isascii() and text.replace("\t", "").isprintable() and "\\" not in text


def _kind(field: Field, after: str) -> Kind | None:
    letter = field.code.letter
    if field.extent == "number":
        return "taken" if letter in "DT" else "status" if letter == "s" else "number"
    if field.extent == "fixed":
        if letter == "X":
            return "flag"
        return "stamp" if field.opens and field.role in ("time", None) else None
    if field.extent == "word":
        if letter == "l":  # the expression looks ahead for the blank, too
            return "dash" if after.startswith(" ") else None
        return "protocol" if letter == "H" else "word"
    if field.extent == "request" and field.role:
        return "request"
    if field.extent == "query":
        return None
    if field.forwarded:  # its own commas come first
        return None if after.startswith(",") else "forwarded"
    return "text"
