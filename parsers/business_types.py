"""The field types of business routes: which values of a line are of a type, and what they become.

| type    | a JSON value                                           | text of kv and regex                           |
| ------- | ------------------------------------------------------ | ---------------------------------------------- |
| `str`   | a string; an integer as its digits (ids)               | any                                            |
| `int`   | an integer; a whole float up to 2^53; text of one      | an optional sign and digits                    |
| `float` | a number; text of one                                  | a decimal number, an exponent is allowed       |
| `bool`  | true, false                                            | true, false, 1, 0, yes, no, in any case        |

Everything else is refused, as are integers beyond 64 bits (signed), NaN and infinities: a number that changed on its
way would be counted wrong without anyone noticing. Empty text is no number and no bool, but absent: a kv line says
`amount=` then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from parsers.timestamps import number_ms, text_ms

BAD: Final = object()  # what a converter returns for a value that isn't of its type

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1
_EXACT: Final = 2**53  # above it not every integer is a float: what JSON wrote as 1e20 is not known to the digit

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]{1,400}(?:\.[0-9]{0,400})?|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,4})?")
_BOOLS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def json_ms(value: Any) -> int | None:
    """Epoch ms of a JSON value that is an epoch number or text of an instant; None for other values.

    Raises ValueError for a number or text that is no instant.
    """
    if type(value) is str:
        return text_ms(value)
    return number_ms(value) if type(value) in (int, float) else None


def _json_str(value: Any) -> Any:
    if type(value) is str:
        return value
    return str(value) if type(value) is int else BAD


def _json_int(value: Any) -> Any:
    if type(value) is int:
        return value if _INT_MIN <= value <= _INT_MAX else BAD
    if type(value) is float:
        return int(value) if value.is_integer() and -_EXACT <= value <= _EXACT else BAD
    return _integer(value) if type(value) is str else BAD


def _json_float(value: Any) -> Any:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    return _decimal(value) if type(value) is str else BAD


def _json_bool(value: Any) -> Any:
    return value if type(value) is bool else BAD


def _text_str(value: str) -> Any:
    return value


def _text_int(value: str) -> Any:
    return _integer(value) if value else None


def _text_float(value: str) -> Any:
    return _decimal(value) if value else None


def _text_bool(value: str) -> Any:
    return _BOOLS.get(value.lower(), BAD) if value else None


def _integer(text: str) -> Any:
    if _INTEGER.fullmatch(text) is None:
        return BAD
    value = int(text)
    return value if _INT_MIN <= value <= _INT_MAX else BAD


def _decimal(text: str) -> Any:
    if _DECIMAL.fullmatch(text) is None:
        return BAD
    value = float(text)
    return BAD if value in (float("inf"), float("-inf")) else value


Converters = Mapping[str, Callable[[Any], Any]]
JSON_TYPES: Final[Converters] = {"str": _json_str, "int": _json_int, "float": _json_float, "bool": _json_bool}
TEXT_TYPES: Final[Converters] = {"str": _text_str, "int": _text_int, "float": _text_float, "bool": _text_bool}
