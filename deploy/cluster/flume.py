"""A real Flume 1.11 agent, configured as the caller likes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from deploy.cluster.fetch import fetch
from deploy.cluster.hdfs import SUPERUSER
from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port
from deploy.cluster.programs import LIGHT_DUTY, java

AGENT = "a1"

# Log4j finds its own configuration by this name; `{appenders}` and `{loggers}` are a caller's.
_LOGGING = """\
<Configuration status="WARN">
  <Appenders>
    <Console name="console"><PatternLayout pattern="%d{{ISO8601}} %p [%t] %c - %m%n"/></Console>
    {appenders}
  </Appenders>
  <Loggers>
    {loggers}
    <Root level="INFO"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"""


class Flume:
    """One agent, named `a1`, that keeps its configuration and its monitoring port from `start` to `start`.

    Not safe for concurrent use.
    """

    def __init__(
        self,
        directory: Path,
        properties: Mapping[str, object],
        *,
        appenders: str = "",
        loggers: str = "",
        heap_mb: int = 128,
        java_options: Sequence[str] = LIGHT_DUTY,
        with_hadoop: bool = False,
    ) -> None:
        """Nothing runs yet. `properties` are Flume's without the agent's name: `{"sources": "lines", ...}`.

        `appenders` and `loggers` are Log4j's XML, for more than the log on its console. An HDFS sink is
        `with_hadoop`.
        """
        self.directory = directory
        self.port = free_port()
        self._properties = dict(properties)
        self._logging = _LOGGING.format(appenders=appenders, loggers=loggers)
        self._java = [f"-Xmx{heap_mb}m", *java_options]
        self._with_hadoop = with_hadoop
        environment = {**os.environ, "HADOOP_USER_NAME": SUPERUSER} if with_hadoop else None
        self._process = ServiceProcess("Flume", [], directory / "flume.log", cwd=directory, environment=environment)

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it and return when its components have been started. Takes about 5 s.

        Raises: StartFailed, FetchFailed, ProgramMissing.
        """
        classpath = [f"{fetch(part)}/*" for part in (("flume", "hadoop") if self._with_hadoop else ("flume",))]
        conf = self.directory / "conf"
        conf.mkdir(parents=True, exist_ok=True)
        lines = [f"{AGENT}.{key} = {value}" for key, value in self._properties.items()]
        (conf / "agent.properties").write_text("\n".join(lines) + "\n")
        (conf / "log4j2.xml").write_text(self._logging)
        self._process.command = [
            *(java(), *self._java),
            *("-Dflume.monitoring.type=http", f"-Dflume.monitoring.port={self.port}"),
            *("-cp", ":".join([str(conf), *classpath]), "org.apache.flume.node.Application"),
            *("-n", AGENT, "-f", str(conf / "agent.properties"), "--no-reload-conf"),
        ]
        self._process.start()
        self._process.wait_ready(self._why_not_ready)

    def stop(self) -> None:
        """Shut it down; what its memory channels hold is lost."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def metrics(self) -> dict[str, dict[str, Any]]:
        """Its counters, such as `["CHANNEL.c1"]["ChannelSize"]`; numbers are text. Raises: OSError."""
        url = f"http://{LOCALHOST}:{self.port}/metrics"
        with build_opener(ProxyHandler({})).open(url, timeout=10) as answer:
            counters: dict[str, dict[str, Any]] = json.load(answer)
        return counters

    def log_tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return self._process.log_tail(lines)

    def _why_not_ready(self) -> str | None:
        """Monitoring is the last thing that an agent starts; each component shows up with its start."""
        try:
            counters = self.metrics()
        except (URLError, OSError) as error:
            return repr(error)
        wanted = [f"SINK.{name}" for name in str(self._properties.get("sinks", "")).split()]
        wanted += [f"SOURCE.{name}" for name in str(self._properties.get("sources", "")).split()]
        missing = [name for name in wanted if counters.get(name, {}).get("StartTime", "0") == "0"]
        return f"not started yet: {missing}" if missing else None
