"""File descriptors: as many as the system allows this process."""

from __future__ import annotations

import resource
from contextlib import suppress

# Towards the hard limit, but no further: some systems allow a thousand million, and nothing needs them. Shells give
# 1,024 for programs that use select(2), which counts no further; nothing here does.
WANTED_DESCRIPTORS = 65_536


def descriptor_limit() -> int:
    """How many files this process may have open, after raising the soft limit towards the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # a sandbox may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
