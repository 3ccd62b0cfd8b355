"""The field types of business routes by the column: what nearly all columns are needs no look at each value.

Each function gives what parsers/business_types.py makes of every value of a column, or None for a column that has to be
looked at value by value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from parsers.timestamps import are_ms

Column = Sequence[Any]
ColumnConverters = Mapping[str, Callable[[Column], "Column | None"]]

_NONE: Final = type(None)
_INT: Final = frozenset((int,))
_INTS: Final = frozenset((int, _NONE))
_FLOATS: Final = frozenset((float, _NONE))
_NUMBERS: Final = frozenset((float, int, _NONE))
_TEXT: Final = frozenset((str,))
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_SHORT: Final = 300  # digits of a text that a float takes without becoming infinite


def json_ms_of(column: Column) -> Sequence[int] | None:
    """Epoch ms of JSON values that are epoch milliseconds."""
    if _INT.issuperset(map(type, column)) and are_ms(column):
        return column
    return None


def text_ms_of(column: Column) -> Sequence[int] | None:
    """Epoch ms of texts that are epoch milliseconds in digits."""
    if _digits(column) and max(map(len, column)) <= 15:
        values = list(map(int, column))
        return values if are_ms(values) else None
    return None


def _plain(kind: type) -> Callable[[Column], Column | None]:
    kinds = frozenset((kind, _NONE))
    return lambda column: column if kinds.issuperset(map(type, column)) else None


def _json_ints(column: Column) -> Column | None:
    if _INTS.issuperset(map(type, column)) and all(value is None or _INT_MIN <= value <= _INT_MAX for value in column):
        return column
    return None


def _json_floats(column: Column) -> Column | None:
    kinds = set(map(type, column))
    if kinds <= _FLOATS:
        return column
    return [None if value is None else float(value) for value in column] if kinds <= _NUMBERS else None


def _text_ints(column: Column) -> Column | None:
    return list(map(int, column)) if _digits(column) and max(map(len, column)) <= 18 else None


def _text_floats(column: Column) -> Column | None:
    if not _TEXT.issuperset(map(type, column)) or max(map(len, column)) > _SHORT:
        return None
    try:
        return list(map(float, column)) if _digits([text.replace(".", "") for text in column]) else None
    except ValueError:  # several dots
        return None


def _digits(column: Column) -> bool:
    """Whether every value is text of ASCII digits."""
    if not _TEXT.issuperset(map(type, column)) or "" in column:
        return False
    joined = "".join(column)
    return joined.isascii() and joined.isdigit()


JSON_COLUMNS: Final[ColumnConverters] = {
    "str": _plain(str),
    "int": _json_ints,
    "float": _json_floats,
    "bool": _plain(bool),
}
TEXT_COLUMNS: Final[ColumnConverters] = {
    "str": _plain(str),
    "int": _text_ints,
    "float": _text_floats,
    "bool": lambda column: None,
}
