"""One launcher a directory: a lock that ends with its process, and says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded.errors import AlreadyRunning


@contextlib.contextmanager
def only_instance(directory: Path, web: str) -> Iterator[None]:
    """Hold the directory while entered; `web` is told to whoever is refused.

    The kernel frees the lock however this process ends, so nothing has to be cleaned up after a crash.
    Raises AlreadyRunning.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "launcher.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(_refusal(os.read(descriptor, 1024))) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {web}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _refusal(holder: bytes) -> str:
    pid, _, web = holder.decode("utf-8", "replace").strip().partition(" ")
    if not pid:  # it holds the lock, but has not written yet
        return "Sluice is just being started here by another `make run`."
    return f"Sluice is running here already: {web} (pid {pid}). Stop that one first: Ctrl-C there, or `kill {pid}`."
