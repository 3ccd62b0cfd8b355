"""`[[source]]` tables of kind `thrift` and `avro`: Flume's two RPC protocols."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from config.listen import ListenAddress, read_listen
from config.source import COMMON_KEYS, SourceCommon, read_common
from config.tls_files import TLS_KEYS, read_tls_files
from config.toml_table import Table
from config.wording import quoted

__all__ = ["RpcSource", "read_rpc_source"]

RpcKind = Literal["thrift", "avro"]
ThriftProtocol = Literal["compact", "binary"]
Compression = Literal["none", "deflate"]
Word = TypeVar("Word", bound=str)

_KINDS: tuple[RpcKind, ...] = ("thrift", "avro")
_PROTOCOLS: tuple[ThriftProtocol, ...] = ("compact", "binary")
_COMPRESSIONS: tuple[Compression, ...] = ("none", "deflate")
_KEYS = ("listen", *TLS_KEYS, "max_request_bytes", "max_connections", "idle_timeout_s")
_OWN_KEYS = {"thrift": ("protocol",), "avro": ("compression",)}
_MAX_REQUEST_BYTES = 16 * 1024 * 1024  # as much as an HTTP request may have by default
_MAX_CONNECTIONS = 1_000


@dataclass(frozen=True, slots=True)
class RpcSource:
    """A source that speaks `kind` at every address of `listen`.

    `protocol` is Thrift's encoding, `compression` of Avro's whole stream: both ends must say the same. `cert` and `key`
    are PEM files, there exactly when an address is tls. A request may have `max_request_bytes` (uncompressed), and each
    address serves `max_connections` at a time.
    """

    common: SourceCommon
    kind: RpcKind
    listen: tuple[ListenAddress, ...]
    protocol: ThriftProtocol = "compact"
    compression: Compression = "none"
    cert: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None  # clients must show a certificate that this signed
    max_request_bytes: int = _MAX_REQUEST_BYTES
    max_connections: int = _MAX_CONNECTIONS
    idle_timeout_s: int | None = None  # a Flume sink keeps its connection, also when it has nothing to send


def read_rpc_source(table: Table) -> RpcSource | None:
    """The table as a source, or None after noting what is wrong with it."""
    kind = table.choice("kind", _KINDS)
    if kind is None:
        return None
    table.allow((*COMMON_KEYS, *_KEYS, *_OWN_KEYS[kind]))
    common = read_common(table)
    listen = read_listen(table, ("tcp", "tls"))
    protocol = _choice(table, "protocol", _PROTOCOLS) if kind == "thrift" else "compact"
    compression = _choice(table, "compression", _COMPRESSIONS) if kind == "avro" else "none"
    max_request_bytes = _whole(table, "max_request_bytes", 65_536, 1 << 30, _MAX_REQUEST_BYTES)
    max_connections = _whole(table, "max_connections", 1, 100_000, _MAX_CONNECTIONS)
    idle_timeout_s = _whole(table, "idle_timeout_s", 1, 604_800, 0)
    cert, key, client_ca = read_tls_files(table, listen)
    if common is None or listen is None or protocol is None or compression is None:
        return None
    if max_request_bytes is None or max_connections is None:
        return None
    return RpcSource(
        common,
        kind,
        listen,
        protocol,
        compression,
        cert,
        key,
        client_ca,
        max_request_bytes,
        max_connections,
        idle_timeout_s or None,
    )


def _choice(table: Table, key: str, words: Collection[Word]) -> Word | None:
    """One of `words`, the first where the key is missing; None where it is wrong."""
    return table.choice(key, words) if key in table.values else next(iter(words))


def _whole(table: Table, key: str, least: int, most: int, default: int) -> int | None:
    if key not in table.values:
        return default
    value = table.values[key]
    if isinstance(value, bool) or not isinstance(value, int):
        table.wrong(f"must be a whole number, not {quoted(value)}", key)
        return None
    if not least <= value <= most:
        table.wrong(f"{value} is not between {least} and {most}", key)
        return None
    return value
