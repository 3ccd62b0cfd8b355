"""Where the windows of a partition lie in its store.

    meta \\0 <start> <table>                 which offsets a window was built from, and how many keys it has
    epoch \\0 <start>                        what a step of stream time covered, and what it left outside the windows
    clock \\0                                the current step of stream time
    <table> \\0 <family> <start> <key>       one key of a window

`start` is the window's start in epoch seconds, 8 bytes, big endian, so that byte order is order in time. `family` is
one byte: a table may keep the same records under several kinds of keys (access: by source, by path). The metas of all
tables lie together, so that expiry and replay also find the windows of routes that are no longer configured.
"""

from __future__ import annotations

import struct
from typing import Any

import orjson

CLOCK = b"clock\0"
META = b"meta\0"
EPOCH = b"epoch\0"
EPOCHS_END = b"epoch\1"
METAS_END = b"meta\1"
Source = tuple["str | None", "str | None"]  # service, host
MAX_TEXT_CHARS = 400  # of one text in a key; a hostile path must not make every key a megabyte
_START = struct.Struct(">Q")
_LAST = (1 << 64) - 1


def pack_start(start_s: int) -> bytes:
    """A window's start as it is in keys. Raises struct.error below zero."""
    return _START.pack(start_s)


def unpack_start(packed: bytes) -> int:
    """The start that `pack_start` has packed."""
    return int(_START.unpack(packed)[0])


def meta_key(start_s: int, table: str) -> bytes:
    """Where a window says what it was built from."""
    return META + _START.pack(start_s) + table.encode()


def split_meta_key(key: bytes) -> tuple[int, str]:
    """(start, table) of a meta's key."""
    at = len(META)
    return unpack_start(key[at : at + 8]), key[at + 8 :].decode()


def epoch_key(start_s: int) -> bytes:
    """Where a step of stream time is."""
    return EPOCH + _START.pack(start_s)


def epoch_start(key: bytes) -> int:
    """The start of the step of stream time under `key`."""
    return unpack_start(key[len(EPOCH) :])


def family_prefix(table: str, family: str) -> bytes:
    """What every key of a table's family starts with; the window's start follows."""
    return f"{table}\0{family}".encode()


def window_prefix(table: str, family: str, start_s: int) -> bytes:
    """What every key of one window's family starts with; the key itself follows. Also where a range of windows ends."""
    return family_prefix(table, family) + _START.pack(min(start_s, _LAST))


def encode_names(names: Any) -> bytes:
    """A window's key as bytes: JSON of short texts and numbers. Lone surrogates become `?`, as UTF-8 has none."""
    try:
        return orjson.dumps(names)
    except (TypeError, ValueError):
        return orjson.dumps(_plain(names))


def short(text: str) -> str:
    """`text` as it is used in a key: whole, or its first 400 characters and an ellipsis."""
    return text if len(text) <= MAX_TEXT_CHARS else text[:MAX_TEXT_CHARS] + "…"


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_plain(name): _plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # beyond 64 bits: JSON numbers of that size do not survive
    return value
