"""What several tests of faults stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bed import mount_small_disk, unmount


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB; the tests run as root, as Docker's and CI's do."""
    directory = tmp_path / "small-disk"
    mount_small_disk(directory, 24)
    try:
        yield directory
    finally:
        unmount(directory)
