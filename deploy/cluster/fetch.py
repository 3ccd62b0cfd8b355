"""Fetches the parts of the cluster with Maven into a cache outside the checkout."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster.errors import FetchFailed
from deploy.cluster.programs import java, maven

PARTS = ("kafka", "kafka-streams", "hadoop", "tomcat", "flume")

_POMS = Path(__file__).parent / "poms"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_MAVEN_DEADLINE_S = 900


def fetch(part: str) -> Path:
    """The folder that holds a part: its jars, or for Tomcat the unpacked distribution. Fetched on the first call only.

    Safe to be called by several processes at once: one fetches, the others wait for it. The folder appears by one
    rename when it is complete, so that neither a crash nor a lost connection leaves a part half there.

    Raises: FetchFailed, ProgramMissing.
    """
    pom = _POMS / f"{part}.xml"
    home = _cache_dir() / _folder_name(part, pom)
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with _locked(home.with_name(f"{home.name}.lock")):
        if not home.is_dir():
            _fetch_into(home, pom)
    return home


def version(part: str) -> str:
    """The version that a part is fetched in, as its pom says."""
    return _pom_version(_POMS / f"{part}.xml")


def _fetch_into(home: Path, pom: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=f"{home.name}.", dir=home.parent))
    try:
        _copy_dependencies(pom, scratch)
        archives = list(scratch.glob("*.tar.gz"))
        complete = _unpack(archives[0], scratch) if archives else scratch
        complete.chmod(0o755)  # mkdtemp makes it private, but it is as public as any installed software
        complete.rename(home)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)  # gone already where the rename took it


def _copy_dependencies(pom: Path, to: Path) -> None:
    java()  # Maven's own word for a missing Java is long
    command = [maven(), "-B", "-q", "-f", str(pom), _COPY, "-DincludeScope=runtime"]
    try:
        done = subprocess.run(
            [*command, f"-DoutputDirectory={to}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_MAVEN_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise FetchFailed(f"Maven did not deliver {pom.stem} within {_MAVEN_DEADLINE_S} s") from late
    if done.returncode != 0 or not any(to.iterdir()):
        raise FetchFailed(f"Maven did not deliver {pom.stem}, exit status {done.returncode}:\n{done.stdout[-4000:]}")


def _unpack(archive: Path, scratch: Path) -> Path:
    """The single top folder of a distribution."""
    into = scratch / "unpacked"
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # not in the first patch releases of 3.10
            tar.extractall(into, filter="data")
        else:
            tar.extractall(into)
    (top,) = into.iterdir()
    return top


def _cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"


def _folder_name(part: str, pom: Path) -> str:
    """Part and version for people; the pom's digest so that a changed pom is not served from an old folder."""
    return f"{part}-{_pom_version(pom)}-{hashlib.sha256(pom.read_bytes()).hexdigest()[:8]}"


def _pom_version(pom: Path) -> str:
    found = ElementTree.parse(pom).getroot().findtext("{http://maven.apache.org/POM/4.0.0}version")
    assert found is not None, f"{pom} has no version"
    return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Held by one process at a time; let go by the kernel if that process dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
