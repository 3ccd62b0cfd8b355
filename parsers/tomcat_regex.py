"""The regular expression of a pattern's lines, of a kind that fails in time linear in the line.

Every field ends at the first place where what follows it in the pattern does follow, so no two ways of dividing a line
exist and nothing is tried twice. Text that may contain the character that ends it (a user name with blanks) looks
ahead, over a bounded distance, at each such character; it may contain 64 of them, which also bounds the memory of a
match (the `re` module keeps some 200 bytes for each repetition).

Works on decoded text that went through `hide_escapes`: an escaped quote is no quote there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from parsers.escapes import hide_escapes
from parsers.tomcat_dates import Instant
from parsers.tomcat_fields import ROLES, Field, describe_fields
from parsers.tomcat_pattern import PERCENT, Code, Text, read_pattern, refuse
from parsers.tomcat_steps import Steps, usual_steps

_END: Final = r"[ \t\r\n]*\Z"  # a carriage return or blanks at the end of a line belong to nobody
_REQUEST_ROLES: Final = ("method", "path", "query", "protocol", "request")


class LineRegex(NamedTuple):
    """A compiled pattern: the expression and how to read its groups."""

    regex: re.Pattern[str]
    order: tuple[int, ...] | None  # the groups of ROLES, in their order; None: groups() has them so, the fastest way
    has_request_line: bool  # method, path, query and protocol come from %r
    time_groups: tuple[int, ...]  # where several codes make up the time: their groups, else empty
    instant: Instant | None
    units_per_ms: float  # of the duration
    ends: str  # the characters that a line can end with, line end and blanks apart; empty: any
    steps: Steps | None  # the usual form of a line, for the compiled splitter


class _Piece(NamedTuple):
    regex: str
    roles: tuple[str, ...]  # of its groups


def compile_line(pattern: str, tomcat: float) -> LineRegex:
    """The expression for whole lines of a pattern.

    Raises ValueError as read_pattern does, for an unsupported time format, and for adjacent codes whose values nobody
    could tell apart.
    """
    parts = read_pattern(pattern, tomcat)
    fields = describe_fields([part for part in parts if isinstance(part, Code)], tomcat)
    line = _Line(parts, fields.all, tomcat)
    pieces = line.pieces()
    regex, order = _assemble(pieces)
    roles = [role for piece in pieces for role in piece.roles]
    time_groups = tuple(number for number, role in enumerate(roles, start=1) if role == "time part")
    compiled = re.compile(regex, re.ASCII | re.DOTALL)
    return LineRegex(
        compiled, order, "request" in roles, time_groups, fields.instant, fields.units_per_ms, line.ends(),
        line.steps(),
    )  # fmt: skip


def _assemble(pieces: Sequence[_Piece]) -> tuple[str, tuple[int, ...] | None]:
    """The whole expression, with groups that never match for the roles that the pattern doesn't have."""
    roles = [role for piece in pieces for role in piece.roles]
    places = [ROLES.index(role) if role in ROLES else -1 for role in roles]
    if -1 in places or places != sorted(places):
        order = tuple(roles.index(role) + 1 if role in roles else len(roles) + 1 for role in ROLES)
        return "".join(piece.regex for piece in pieces) + _never(1), order
    regex = ""
    at = 0
    for piece in pieces:
        if piece.roles:
            regex += _never(ROLES.index(piece.roles[0]) - at)
            at = ROLES.index(piece.roles[-1]) + 1
        regex += piece.regex
    return regex + _never(len(ROLES) - at), None


def _never(groups: int) -> str:
    return f"(?:(?!){'()' * groups})?" if groups else ""


class _Line:
    """The line of one pattern, piece by piece; used once, while a pattern is compiled."""

    def __init__(self, parts: Sequence[Code | Text], fields: Sequence[Field], tomcat: float) -> None:
        self._fields = fields
        self._tomcat = tomcat
        self._before = [""] * (len(fields) + 1)  # the text before each field, and after the last
        index = 0
        for part in parts:
            if isinstance(part, Text):
                self._before[index] = hide_escapes(part.text)
            else:
                index += 1
        self._before[-1] = self._before[-1].rstrip()

    def pieces(self) -> list[_Piece]:
        found = []
        for index, field in enumerate(self._fields):
            self._refuse_unclear(index)
            found.append(_Piece(_literal(self._before[index]), ()))
            found.append(self._piece(index, field))
        found.append(_Piece(_literal(self._before[-1]) + _END, ()))
        return found

    def ends(self) -> str:
        text = self._before[-1]
        if text:
            return "%?" if text[-1] == PERCENT else text[-1]
        return "0123456789-" if self._fields[-1].extent == "number" else ""  # %T's fraction ends in a digit too

    def steps(self) -> Steps | None:
        return usual_steps(self._before, self._fields)

    def _piece(self, index: int, field: Field) -> _Piece:
        if field.extent == "request" and field.role:
            stop = re.escape(self._stop(index))
            usual = rf"([A-Z]+) ([^ ?{stop}]*)(?:\?([^ {stop}]*))? (HTTP/[0-9.]+)"
            return _Piece(f"(?:{usual}|({self._text(index)}))", _REQUEST_ROLES)
        keep = "(" if field.role else "(?:"
        if field.extent == "query":
            # Tomcat 9 and later write '-' where there is no query, older and some 10.1 releases nothing.
            dash = "" if self._tomcat < 9 and self._joins_path(index) else "|-"
            regex = rf"(?:\?{keep}{self._text(index)}){dash}|)"
        elif field.extent in ("fixed", "number"):
            regex = f"{keep}{field.shape})"
        elif self._joins_path(index + 1):
            regex = rf"{keep}[^?{re.escape(self._stop(index + 1))}]*?)"  # lazy: a '-' at the end is the query's
        elif field.forwarded:  # the first address is the client's
            stop = re.escape(self._stop(index)) or r"\t\r\n"
            regex = rf"{keep}[^, {stop}]*)(?:,{self._text(index)})?"
        else:
            regex = f"{keep}{self._text(index)})"
        return _Piece(regex, (field.role,) if field.role else ())

    def _text(self, index: int) -> str:
        """An expression without groups for free text (or one word) up to what follows field `index`."""
        field = self._fields[index]
        character = self._stop(index)
        if not character:
            return r"[^ \t\r\n]+" if field.extent == "word" else r"(?:.*[^ \t\r\n]|)"
        if field.extent == "word" and character == " ":
            return "[^ ]*" if field.code.letter == "H" else "[^ ]+"  # HTTP/0.9 has no protocol
        stop = re.escape(character)
        allowed = f"[^{stop} ]*" if field.extent == "word" else f"[^{stop}]*"
        rest = self._follows(index)
        if character == '"' and self._before[index].endswith('"'):
            if field.escapes_quotes:
                return allowed
            # An unescaped quote is taken as part of the value unless a blank follows: two lines run together, as torn
            # writes leave them, are not to pass for one.
            rest = rf"[ \t]|{rest}"
        return f"{allowed}(?:{stop}(?!{rest}){allowed}){{0,64}}"

    def _stop(self, index: int) -> str:
        """The character that ends field `index`; empty at the end of the line."""
        text = self._before[index + 1]
        if text:
            return "%" if text[0] == PERCENT else text[0]
        return self._fields[index + 1].opens if index + 1 < len(self._fields) else ""

    def _follows(self, index: int) -> str:
        """What comes after field `index` and the character that ends it, as far as its length is bounded."""
        regex = _literal(self._before[index + 1][1:])
        for after in range(index + 1, len(self._fields)):
            field = self._fields[after]
            if field.peek is None:
                return regex
            # A field that ends the one before it by its own first character has lost that character here.
            opened = after == index + 1 and not self._before[after]
            regex += field.peek[len(re.escape(field.opens)) :] if opened else field.peek
            if field.extent not in ("fixed", "number"):
                return regex
            regex += _literal(self._before[after + 1])
        return regex + _END

    def _joins_path(self, index: int) -> bool:
        """Whether field `index` is a %q that follows a %U with nothing between."""
        if not 0 < index < len(self._fields) or self._before[index]:
            return False
        return self._fields[index].code.letter == "q" and self._fields[index - 1].code.letter == "U"

    def _refuse_unclear(self, index: int) -> None:
        """Raise ValueError where this field and the one before it could not be told apart."""
        if index == 0 or self._before[index] or self._joins_path(index):
            return
        left, right = self._fields[index - 1], self._fields[index]
        if left.extent == "fixed" or right.opens:
            return
        if left.extent == "number" and right.extent == "fixed" and right.code.letter in "tX":
            return
        refuse(right.code, f"its value can't be told from that of %{left.code.letter} before it; put text between them")


def _literal(text: str) -> str:
    return re.escape(text).replace(PERCENT, r"(?:%|\?{3}%\?{3})")
