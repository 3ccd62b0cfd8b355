"""The address of a history, as in SLUICE_HISTORY, and the storage that it stands for."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from sinks.history.local import LocalStorage
from sinks.history.storage import Storage
from sinks.history.webhdfs import WebHdfsStorage

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?")
_WEBHDFS = {"webhdfs": ("http", 9870), "webhdfss": ("https", 9871)}  # Hadoop's own ports of a NameNode's web address


def open_storage(url: str) -> Storage:
    """The storage of `file://<path>` or `webhdfs://<user>@<host>:<port>;<host>:<port>/<path>` (`webhdfss` over TLS).

    Touches neither disk nor network. Raises: ValueError, which says what is wrong with the address.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError(f"{url!r} has no scheme: file://<path>, webhdfs://<user>@<host>:<port>/<path> or webhdfss://")
    if scheme == "file":
        if not rest:
            raise ValueError(f"{url!r} has no path")
        return LocalStorage(Path(unquote(rest)).absolute())
    if scheme not in _WEBHDFS:
        raise ValueError(f"{url!r}: {scheme}:// is neither file://, webhdfs:// nor webhdfss://")
    authority, _, path = rest.partition("/")
    user, _, hosts = authority.rpartition("@")
    if ":" in user:
        raise ValueError(f"{scheme}://…@{hosts}/{path} holds a password, which WebHDFS has no use for")
    protocol, port = _WEBHDFS[scheme]
    name_nodes = [f"{protocol}://{_with_port(host, port, hosts)}" for host in hosts.split(";") if host]
    if not name_nodes:
        raise ValueError(f"{url!r} names no host")
    if not path.strip("/"):
        raise ValueError(f"{url!r} has no path: the root directory of HDFS is not for one application")
    return WebHdfsStorage(name_nodes, f"/{unquote(path)}", unquote(user) or None)


def _with_port(host: str, default: int, hosts: str) -> str:
    found = _HOST.fullmatch(host)
    if found is None or int(found[2] or default) not in range(1, 65536):
        raise ValueError(f"{hosts!r}: {host!r} is not <host> or <host>:<port>")
    return f"{found[1]}:{found[2] or default}"
