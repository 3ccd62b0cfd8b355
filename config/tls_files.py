"""The files that an address of `tls://` needs, as keys of a source's table."""

from __future__ import annotations

from pathlib import Path

from config.listen import ListenAddress
from config.toml_table import Table

TLS_KEYS = ("cert", "key", "client_ca")


def read_tls_files(
    table: Table, listen: tuple[ListenAddress, ...] | None
) -> tuple[Path | None, Path | None, Path | None]:
    """The keys `cert`, `key` and `client_ca`; None where absent. Notes a problem where `listen` has no use for them.

    With `listen` None (wrong itself) only the keys' own types are checked.
    """
    if listen is not None:
        if any(address.transport == "tls" for address in listen):
            table.has("cert", "key")
        else:
            for name in TLS_KEYS:
                if name in table.values:
                    table.wrong("has no use: no address in `listen` starts with tls://", name)
    cert, key, client_ca = (_file(table, name) for name in TLS_KEYS)
    return cert, key, client_ca


def _file(table: Table, name: str) -> Path | None:
    text = table.text(name)
    return None if text is None else Path(text)
