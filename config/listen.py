"""Where a source listens: `udp://host:port`, `tcp://host:port` or `tls://host:port`."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from config.toml_table import Table
from config.wording import listed, quoted

Transport = Literal["udp", "tcp", "tls"]

TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp", "tls")
_ADDRESS = re.compile(r"(?P<scheme>[a-z0-9+.-]+)://(?P<host>\[[^\[\]]*\]|[^\[\]:/@]*):(?P<port>[0-9]{1,5})/?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_DIGITS_AND_DOTS = re.compile(r"[0-9.]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """One address to listen at. `host` is an IP address (IPv6 without brackets) or a name; port 0 is any free one."""

    transport: Transport
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.transport}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def socket_port(self) -> tuple[str, str, int]:
        """What two addresses of one machine cannot share: tcp and tls are the same to the kernel."""
        return ("udp" if self.transport == "udp" else "tcp", self.host, self.port)


def parse_listen_address(text: str, transports: Collection[Transport] = TRANSPORTS) -> ListenAddress:
    """Read an address; IPv6 stands in brackets. Raises ValueError that says what is wrong, in a few words."""
    example = f"{next(iter(transports))}://127.0.0.1:5514"
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise ValueError(f"is not like {example}")
    for transport in transports:
        if transport == match["scheme"]:
            break
    else:
        raise ValueError(f"starts with {match['scheme']}://, not {listed(f'{word}://' for word in transports)}")
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise ValueError(f"port {port} is not between 1 and 65535")
    return ListenAddress(transport, _host(match["host"]), port)


def read_listen(table: Table, transports: Collection[Transport] = TRANSPORTS) -> tuple[ListenAddress, ...] | None:
    """The key `listen` of a source: one address or more, none of them twice. None where problems were noted."""
    if not table.has("listen"):
        return None
    texts = table.texts("listen")
    if texts is None:
        return None
    if not texts:
        table.wrong("is empty; a source listens at one address or more", "listen")
        return None
    addresses: list[ListenAddress] = []
    for index, text in enumerate(texts):
        try:
            address = parse_listen_address(text, transports)
        except ValueError as error:
            table.wrong(f"{quoted(text)} {error}", "listen", index)
            continue
        if any(address.socket_port == other.socket_port for other in addresses):
            table.wrong(f"{quoted(text)} is there twice (tcp and tls cannot share a port)", "listen", index)
        addresses.append(address)
    return tuple(addresses) if len(addresses) == len(texts) else None


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            raise ValueError(f"has {quoted(text)} for an IPv6 address") from None
    if not text:
        raise ValueError("has no host; 0.0.0.0 is every address of this machine, [::] those of IPv6 too")
    if _DIGITS_AND_DOTS.fullmatch(text):
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            raise ValueError(f"has {quoted(text)} for an IPv4 address") from None
    if not _NAME.fullmatch(text):
        raise ValueError(f"has {quoted(text)} for a host")
    return text
