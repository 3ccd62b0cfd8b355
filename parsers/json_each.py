"""Many values to JSON, each to its own: in one call, which takes a quarter of the time of a call for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from parsers.escapes import replace_surrogates

# Stands between two values. Nothing else that orjson writes has a bare newline: in texts it is escaped.
_BREAK: Final = orjson.Fragment(b"\n")


def dumps_each(values: Sequence[Any]) -> list[bytes]:
    """The JSON of each value, in order. Raises orjson.JSONEncodeError where one can't be written."""
    if not values:
        return []
    parts = [_BREAK] * (2 * len(values) - 1)
    parts[::2] = values
    return orjson.dumps(parts)[1:-1].split(b",\n,")


def well_formed(service: str | None, host: str | None) -> dict[str, str | None]:
    """Members `service` and `host` fit for UTF-8, whatever a header had."""
    return {
        "service": None if service is None else replace_surrogates(service),
        "host": None if host is None else replace_surrogates(host),
    }
