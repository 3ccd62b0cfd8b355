"""What a worker says of itself."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from app.wiring import sluice_version


def test_the_version_can_be_told_when_no_file_can_be_opened_any_more() -> None:
    """Each report has it, every two seconds; a worker once ended of that."""
    told = sluice_version()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))  # the three that are never closed, whoever closes others
    try:
        with pytest.raises(OSError, match="Too many open files"):
            Path(os.devnull).read_bytes()
        assert sluice_version() == told
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
