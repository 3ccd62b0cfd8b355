"""Kafka Streams 3.9 doing the monitor's work: `AccessWindows.java` and `OrderWindows.java`, compiled for each run."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy.cluster.fetch import fetch
from deploy.cluster.process import ServiceProcess
from deploy.cluster.programs import java, javac

HEAP_MB = 512
THREADS = 2
_SOURCES = sorted(Path(__file__).parent.glob("*.java"))


def topology(name: str, directory: Path, bootstrap: str) -> ServiceProcess:
    """The topology of that class, not started; its group and the prefix of its topics are the directory's name.

    Raises: subprocess.CalledProcessError where it does not compile.
    """
    classpath = f"{fetch('kafka-streams')}/*"
    subprocess.run([javac(), "-nowarn", "-d", str(directory), "-cp", classpath, *_SOURCES], check=True, timeout=120)
    return ServiceProcess(
        "Kafka Streams",
        [
            java(),
            f"-Xmx{HEAP_MB}m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *("-cp", f"{directory}:{classpath}"),
            *(name, bootstrap, directory.name, str(directory / "state"), str(THREADS)),
        ],
        directory / "streams.log",
        cwd=directory,
    )


def forwarded(directory: Path) -> str:
    """The topic that the topology of this directory writes to."""
    return f"{directory.name}-forwarded"
