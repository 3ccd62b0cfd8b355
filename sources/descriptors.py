"""File descriptors: as many as the system allows this process."""

from __future__ import annotations

import contextlib
import resource
from typing import Final

# Shells give 1,024 for programs that use select(2), which counts no further; nothing here does.
_WANTED: Final = 65_536


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files towards the hard one, as most servers do; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if hard == resource.RLIM_INFINITY else min(_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a sandbox may forbid it: then it is as it was
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return soft
