"""What may be committed: nothing that only works on one machine, nothing built, nothing huge."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Spelled so that this file does not match itself.
MACHINE_PATH = re.compile(rb"(?<![\w.])/(?:ro{2}t|w{1}ork)/")
PACKAGE_HOST = re.compile(rb"pypi[.]org/simple|repo1?[.]maven|--(?:extra-)?index[-]url|PIP_[I]NDEX")
BUILT = {".jar", ".class", ".war", ".gz", ".tgz", ".zip", ".whl", ".so", ".pyc", ".zst"}
LARGEST_BYTES = 1_000_000


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["machine paths", "package hosts"])
def test_no_file_names_this_machine(pattern: re.Pattern[bytes]) -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_bytes().splitlines(), 1)
        if pattern.search(line)
    }
    assert not found, sorted(found)


def test_nothing_built_and_nothing_huge_is_tracked() -> None:
    files = tracked()
    assert ROOT / "setup.cfg" in files
    assert not [path for path in files if path.suffix in BUILT and "tests/data" not in path.as_posix()]
    assert not [path for path in files if path.stat().st_size > LARGEST_BYTES]


def test_the_patterns_find_what_they_look_for() -> None:
    home, checkout = b"/ro" + b"ot/.cache", b'"/wo' + b'rk/main"'
    assert MACHINE_PATH.search(home)
    assert MACHINE_PATH.search(checkout)
    assert not MACHINE_PATH.search(b"../root/ network/work/ framework/")
    assert PACKAGE_HOST.search(b"pip install --index-" + b"url x")
