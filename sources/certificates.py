"""The TLS side of listeners, from the files that the routes file names."""

from __future__ import annotations

import ssl
from pathlib import Path

from config.listen import ListenAddress
from sources.errors import CannotListen


def server_context(address: ListenAddress, cert: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """A server's context, TLS 1.2 at least; with `client_ca` clients must show a certificate signed by it.

    Raises: CannotListen naming the file that is to blame.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    # A syslog client reads nothing. With a ticket that it has not read, its close is a reset, which makes the kernel
    # drop what we have not read yet (seen: 16,000 of 20,000 messages).
    context.num_tickets = 0
    for what, file in (("cert", cert), ("key", key), ("client_ca", client_ca)):
        if file is None:
            continue
        try:
            file.read_bytes()
        except OSError as error:
            raise CannotListen(str(address), f"{what} {file}: {error.strerror}") from error
    try:
        # A key under a passphrase would be asked for on the terminal; without one it is an error.
        context.load_cert_chain(cert, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        raise CannotListen(str(address), f"cert {cert} and key {key}: {_reason(error)}") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError as error:
            raise CannotListen(str(address), f"client_ca {client_ca}: {_reason(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _reason(error: Exception) -> str:
    words = getattr(error, "reason", None)
    return words.replace("_", " ").lower() if words else "not PEM, or the key is under a passphrase"
