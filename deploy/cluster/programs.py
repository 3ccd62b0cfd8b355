"""The programs that the cluster and the browser tests need, found or installed with apt-get where we are root."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.cluster.errors import ProgramMissing

# Kafka 3.9 and Tomcat 10.1 want 11 or newer; Hadoop 3.4 calls Subject.getSubject, which Java 23 refuses.
OLDEST_JAVA = 11
NEWEST_JAVA = 22

# For what runs seconds or has little to do: the optimising compiler and the parallel collector would take more CPU than
# they save. It cuts the start of HDFS by a third on a busy machine of two cores. Not for Kafka, which is measured.
LIGHT_DUTY = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


def java() -> str:
    """The path of a Java that runs Kafka 3.9, Hadoop 3.4 and Tomcat 10.1.

    Raises: ProgramMissing where none is installed and we may not install one.
    """
    found = _suitable_java()
    if found is None and _apt_install("default-jre-headless"):
        found = _suitable_java()
    if found is None:
        raise ProgramMissing(f"Java {OLDEST_JAVA} to {NEWEST_JAVA} is needed: {_advice('default-jre-headless')}")
    return found


def maven() -> str:
    """The path of Maven. Raises: ProgramMissing."""
    return _program("mvn", package="maven")


def javac() -> str:
    """The path of a Java compiler, for the benchmarks' peers. Raises: ProgramMissing."""
    return _program("javac", package="default-jdk-headless")


def wrk() -> str:
    """The path of the HTTP load generator wrk. Raises: ProgramMissing."""
    return _program("wrk", package="wrk")


def chromium() -> str:
    """The path of a Chromium or Chrome. Raises: ProgramMissing."""
    return _program("chromium", "chromium-browser", "google-chrome", package="chromium")


def chromedriver() -> str:
    """The path of the driver that belongs to `chromium`. Raises: ProgramMissing."""
    return _program("chromedriver", package="chromium-driver")


def _program(*names: str, package: str) -> str:
    """The path of the first of these that is there, installed from a Debian package if none is and we are root."""
    found = _first(names)
    if found is None and _apt_install(package):
        found = _first(names)
    if found is None:
        raise ProgramMissing(f"{names[0]} is needed: {_advice(package)}")
    return found


def _first(names: tuple[str, ...]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _suitable_java() -> str | None:
    for candidate in _java_candidates():
        version = _java_version(candidate)
        if version is not None and OLDEST_JAVA <= version <= NEWEST_JAVA:
            return candidate
    return None


def _java_candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home, "bin", "java"))
    on_path = shutil.which("java")
    if on_path:
        yield on_path
    yield from sorted(str(path) for path in Path("/usr/lib/jvm").glob("*/bin/java"))


def _java_version(java_path: str) -> int | None:
    """17 for `openjdk version "17.0.15"`, 8 for `"1.8.0_412"`; None where it does not run."""
    try:
        told = subprocess.run([java_path, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(match[1]) if match else None


def _apt_install(package: str) -> bool:
    """Whether the package is installed now; tries only as root on a machine with apt-get."""
    apt_get = shutil.which("apt-get")
    if apt_get is None or os.geteuid() != 0:
        return False
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = [apt_get, "install", "-y", "-q", "--no-install-recommends", package]
    print(f"installing the Debian package {package}", flush=True)
    for command in (install, [apt_get, "update", "-q"], install):  # the lists may be stale: update only when it failed
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=900, check=False
        )
        if command is install and done.returncode == 0:
            return True
    return False


def _advice(package: str) -> str:
    return f"install it (on Debian or Ubuntu: sudo apt-get install {package})"
