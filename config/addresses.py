"""Addresses as the settings give them: Kafka's brokers and the place of the history."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from config.wording import quoted

_KAFKA_PORT = 9092
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?)(?::([0-9]{1,5}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HistoryLocation:
    """Where the history goes: a folder of this machine, or of an HDFS reached over WebHDFS.

    `path` is absolute for HDFS. For `file` it is as the setting gave it, so a relative one is relative to the worker's
    directory. `hosts` are `host:port`, one a NameNode, empty for `file`. There are no secrets in it.
    """

    scheme: Literal["file", "webhdfs", "webhdfss"]
    path: str
    hosts: tuple[str, ...] = ()
    user: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the history is a folder of this machine."""
        return self.scheme == "file"

    @property
    def directory(self) -> Path:
        """The folder, for `file` only."""
        return Path(self.path)

    @property
    def urls(self) -> tuple[str, ...]:
        """The NameNodes' web addresses, in the order given; none for `file`."""
        scheme = "https" if self.scheme == "webhdfss" else "http"
        return tuple(f"{scheme}://{host}" for host in self.hosts)

    def __str__(self) -> str:
        if self.is_local:
            return f"file://{self.path}"
        user = "" if self.user is None else f"{quote(self.user, safe='')}@"
        return f"{self.scheme}://{user}{';'.join(self.hosts)}{quote(self.path)}"


def host_and_port(text: str, default_port: int) -> str:
    """`host:port`, the port filled in where it is missing. Raises ValueError."""
    match = _HOST.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not host:port")
    port = int(match[2]) if match[2] else default_port
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return f"{match[1]}:{port}"


def broker_list(text: str) -> str:
    """`kafka://host:port`, several joined by `;`, from a list that may leave out scheme and port. Raises ValueError."""
    if "@" in text:
        raise ValueError("user and password do not belong here")
    brokers = []
    for item in text.split(";"):
        scheme, found, address = item.strip().rpartition("://")
        if found and scheme != "kafka":
            raise ValueError("the scheme is none for brokers")
        if "," in address:
            raise ValueError("several brokers are separated by ';'")
        brokers.append(f"kafka://{host_and_port(address.rstrip('/'), _KAFKA_PORT)}")
    return ";".join(brokers)


def history_location(text: str) -> HistoryLocation:
    """Read `file://...`, `webhdfs://...` or `webhdfss://...`. Raises ValueError."""
    scheme, found, rest = text.partition("://")
    if not found:
        raise ValueError("has no scheme")
    if scheme == "file":
        return _local(rest)
    if scheme == "webhdfs":
        return _hdfs("webhdfs", rest, default_port=9870)
    if scheme == "webhdfss":
        return _hdfs("webhdfss", rest, default_port=9871)
    raise ValueError("the scheme is none for the history")  # not shown: what stands before :// may be a password


def _local(path: str) -> HistoryLocation:
    if not path.startswith(("/", "./", "../")):
        raise ValueError("a local path starts with '/' (file:///srv/history), './' or '../' (file://./var/history)")
    return HistoryLocation("file", path)


def _hdfs(scheme: Literal["webhdfs", "webhdfss"], rest: str, default_port: int) -> HistoryLocation:
    if "?" in rest or "#" in rest:
        raise ValueError("'?' and '#' do not belong here")
    userinfo, at, place = rest.rpartition("@")
    if ":" in userinfo or "/" in userinfo:
        raise ValueError("WebHDFS takes a user name and no password ('@' in a path is written %40)")
    user = unquote(userinfo, errors="strict") if at else None
    if user == "":
        raise ValueError("the user name before '@' is empty")
    hosts, slash, tail = place.partition("/")
    path = unquote(slash + tail, errors="strict").rstrip("/") or slash
    if not path:
        raise ValueError("has no path, such as /logs")
    if not path.isprintable() or not (user or "").isprintable():
        raise ValueError("has control characters")
    if any(part in {".", ".."} for part in path.split("/")):
        raise ValueError("the path has '.' or '..' in it")
    return HistoryLocation(scheme, path, tuple(host_and_port(host, default_port) for host in hosts.split(";")), user)
