"""The parts that are compiled when Sluice is installed; without a C compiler their twins in Python do the work."""

from __future__ import annotations

from importlib.util import find_spec

PARTS = ("parsers._access", "parsers._flume", "sources._batch", "streaming._records", "tables._access")


def missing() -> list[str]:
    """Those that were not compiled for this Python."""
    return [part for part in PARTS if find_spec(part) is None]


def describe() -> str:
    """What there is, in one line."""
    left_out = missing()
    if not left_out:
        return "all parts"
    return f"without {', '.join(left_out)}: several times slower; install Sluice where there is a C compiler"
