"""Asks a worker whether it is ready, without any proxy that the environment may name."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit


def not_ready(web: str) -> str | None:
    """What the worker's `/ready` finds missing, or why it could not be asked; None when it is ready."""
    address = urlsplit(web)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=5)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        said = answer.read()
        return None if answer.status == 200 else _reasons(said)
    except (OSError, http.client.HTTPException) as error:
        return f"the web does not answer yet ({error})"
    finally:
        connection.close()


def _reasons(said: bytes) -> str:
    try:
        return "; ".join(json.loads(said)["reasons"])
    except (ValueError, TypeError, KeyError):
        return said[:200].decode("utf-8", "replace")
