"""Kafka Streams 3.9 doing the monitor's work: `AccessWindows.java`, compiled when it is started."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.cluster.fetch import fetch
from deploy.cluster.process import ServiceProcess
from deploy.cluster.programs import java, javac

GROUP = "streams"  # application id, consumer group, and prefix of its topics
HEAP_MB = 512
_SOURCE = Path(__file__).with_name("AccessWindows.java")


@contextmanager
def topology(directory: Path, bootstrap: str, *, threads: int = 2) -> Iterator[ServiceProcess]:
    """The running topology. Raises: subprocess.CalledProcessError where it does not compile."""
    directory.mkdir(parents=True, exist_ok=True)
    classpath = f"{fetch('kafka-streams')}/*"
    subprocess.run([javac(), "-nowarn", "-d", str(directory), "-cp", classpath, str(_SOURCE)], check=True, timeout=120)
    process = ServiceProcess(
        "Kafka Streams",
        [
            java(),
            f"-Xmx{HEAP_MB}m",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *("-cp", f"{directory}:{classpath}"),
            *("AccessWindows", bootstrap, GROUP, str(directory / "state"), str(threads)),
        ],
        directory / "streams.log",
        cwd=directory,
    )
    process.start()
    try:
        yield process
        process.stop(30)
    finally:
        process.kill()
