"""Syslog over the wire to a real worker, and what the worker says about its sources."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

from deploy.cluster.process import LOCALHOST
from tests.support.worker import Worker

CERTIFICATES = Path(__file__).parents[1] / "data" / "tls"
_TIMEOUT_S = 120.0


def routes_file(directory: Path, *tables: str) -> Path:
    """A routes file with these `[[source]]` tables, and no monitoring."""
    path = directory / "routes.toml"
    path.write_text("".join(f"[[source]]\n{table}\n" for table in tables), "utf-8")
    return path


def tcp_client(port: int, *, source: str = LOCALHOST, tls: bool = False) -> socket.socket:
    """A connection from the address `source`, which is to be closed."""
    client = socket.create_connection((LOCALHOST, port), _TIMEOUT_S, (source, 0))
    if not tls:
        return client
    context = ssl.create_default_context(cafile=CERTIFICATES / "server.pem")
    return context.wrap_socket(client, server_hostname=LOCALHOST)


def send_datagrams(port: int, *messages: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message, (LOCALHOST, port))


def source_flow(worker: Worker, name: str) -> dict[str, Any]:
    """The flow of one source of the one worker there is, with its notes."""
    (found,) = (each for each in worker.get_json("/api/flows")["sources"] if each["name"] == name)
    (only,) = found["workers"]
    return {**found, "notes": only["notes"]}


def is_balanced(flow: dict[str, Any]) -> bool:
    """Nothing is on its way, and nothing has vanished."""
    return bool(flow["received"] == flow["sent"] + sum(flow["rejected"].values()) + flow["in_spool"])
