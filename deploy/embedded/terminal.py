"""Takes the terminal for the launcher alone, so that Ctrl-C does not kill the `make` above it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def own_foreground(fd: int = 0) -> Iterator[bool]:
    """Be the terminal's only foreground process while entered; gives whether that was needed.

    The terminal sends Ctrl-C to its whole foreground group. GNU make dies of it and `make run` would exit 130 although
    all was stopped well. So the launcher becomes a group of its own, takes the terminal, and gives it back at the end.
    Without a terminal, or as a background job, nothing is changed.
    """
    former = _foreground_group(fd)
    # Whoever is a group of its own already (a shell with job control started it) has nobody to protect.
    if former is None or former != os.getpgrp() or former == os.getpid():
        yield False
        return
    os.setpgid(0, 0)
    with _ignored(signal.SIGTTOU):  # else the kernel suspends whoever sets the group from the background
        os.tcsetpgrp(fd, os.getpid())
    try:
        yield True
    finally:
        with _ignored(signal.SIGTTOU), contextlib.suppress(OSError):  # the terminal may be gone by now
            os.tcsetpgrp(fd, former)


def _foreground_group(fd: int) -> int | None:
    try:
        return os.tcgetpgrp(fd)
    except OSError:
        return None


@contextlib.contextmanager
def _ignored(number: signal.Signals) -> Iterator[None]:
    handler = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, handler)
