"""A real Tomcat with a small shop in it, for real access logs, catalina logs and a real business log."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from deploy.cluster.fetch import fetch
from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port
from deploy.cluster.programs import LIGHT_DUTY, java

_WEBAPP = Path(__file__).parent / "webapp"


@dataclass(frozen=True, slots=True)
class Valve:
    """One access log: `logs/<prefix>.<date>.txt`.

    Tomcat's own default is buffered, which brings the lines in blocks about every 10 s. A valve of a context (such as
    "/shop") sees that context's requests; one without sees all requests, malformed ones included.
    """

    pattern: str = "common"
    prefix: str = "localhost_access_log"
    context: str | None = None
    buffered: bool = False


class Tomcat:
    """A Tomcat that keeps its ports and logs from `start` to `start`. Not safe for concurrent use.

    Every context serves the same shop: `/` (200), `/missing` (404), `redirect.jsp` (302), `error.jsp` (500 with a
    stack trace), `slow.jsp?ms=`, `private/` (401, or 200 as alice/secret or "Ann Lee"/secret), and
    `order.jsp?order_id=&status=&amount=`, which logs a JSON line to the business log `logs/orders.<date>.log`.
    """

    def __init__(
        self,
        directory: Path,
        valves: Sequence[Valve] = (Valve(),),
        *,
        contexts: Sequence[str] = ("",),
        port: int | None = None,
        heap_mb: int = 128,
    ) -> None:
        """Nothing runs yet. `contexts` are paths, "" for the root."""
        self.directory = directory
        self.port = port or free_port()
        self._valves = tuple(valves)
        self._contexts = tuple(contexts)
        self._heap_mb = heap_mb
        self._process = ServiceProcess("Tomcat", [], self.catalina_out, cwd=directory)

    @property
    def url(self) -> str:
        return f"http://{LOCALHOST}:{self.port}"

    @property
    def logs(self) -> Path:
        """The folder of everything that it logs."""
        return self.directory / "logs"

    @property
    def catalina_out(self) -> Path:
        """Its output, as `catalina.sh start` would keep it."""
        return self.logs / "catalina.out"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it and return when it answers; the question leaves no line in its access logs. Takes about 3 s.

        Raises: StartFailed, FetchFailed, ProgramMissing.
        """
        home = fetch("tomcat")
        self._lay_out(home)
        self._process.command = ["/bin/sh", str(home / "bin" / "catalina.sh"), "run"]
        self._process.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CATALINA_", "JAVA_"))},
            "JRE_HOME": str(Path(java()).resolve().parent.parent),
            "CATALINA_HOME": str(home),
            "CATALINA_BASE": str(self.directory),
            "CATALINA_OPTS": " ".join((f"-Xmx{self._heap_mb}m", *LIGHT_DUTY)),
        }
        self._process.start()
        self._process.wait_ready(self._why_not_ready)

    def stop(self) -> None:
        """Shut it down; buffered access logs are written out by that."""
        self._process.stop()

    def kill(self) -> None:
        """SIGKILL; what its valves had buffered is lost."""
        self._process.kill()

    def send(self, request: bytes) -> bytes:
        """Send these bytes, well-formed or not, and return all that comes back until Tomcat closes the connection."""
        # A page is compiled when it is first asked for: on a busy machine that takes its time.
        with socket.create_connection((LOCALHOST, self.port), timeout=60) as connection:
            connection.sendall(request)
            with connection.makefile("rb") as answer:
                return answer.read()

    def log_tail(self) -> str:
        """The end of its output."""
        return self._process.log_tail()

    def _why_not_ready(self) -> str | None:
        """The connector is the last thing that Tomcat starts, so that an accepted connection means ready."""
        try:
            socket.create_connection((LOCALHOST, self.port), timeout=5).close()
        except OSError as error:
            return repr(error)
        return None

    def _lay_out(self, home: Path) -> None:
        """The folder of this instance (CATALINA_BASE); logs and settings of an earlier start stay."""
        conf = self.directory / "conf"
        if conf.exists():
            return
        for folder in ("logs", "temp", "webapps", "work"):
            (self.directory / folder).mkdir(parents=True, exist_ok=True)
        for context in self._contexts:
            name = context.strip("/").replace("/", "#") or "ROOT"
            shutil.copytree(_WEBAPP, self.directory / "webapps" / name)
        conf.mkdir()
        shutil.copy(home / "conf" / "web.xml", conf)
        (conf / "tomcat-users.xml").write_text(_USERS)
        logging = (home / "conf" / "logging.properties").read_text()
        (conf / "logging.properties").write_text(
            logging.replace("handlers = ", f"handlers = {_ORDERS}, ", 1) + _LOGGING
        )
        (conf / "server.xml").write_text(self._server_xml())

    def _server_xml(self) -> str:
        everything = "".join(_valve_xml(valve) for valve in self._valves if valve.context is None)
        contexts = ""
        for context in self._contexts:
            valves = "".join(_valve_xml(valve) for valve in self._valves if valve.context == context)
            folder = context.strip("/").replace("/", "#") or "ROOT"
            contexts += f'<Context path="{context}" docBase="{folder}">{valves}</Context>\n'
        return f"""\
<Server port="-1">
  <GlobalNamingResources>
    <Resource name="UserDatabase" auth="Container" type="org.apache.catalina.UserDatabase"
              factory="org.apache.catalina.users.MemoryUserDatabaseFactory" pathname="conf/tomcat-users.xml" />
  </GlobalNamingResources>
  <Service name="Catalina">
    <Connector port="{self.port}" address="{LOCALHOST}" protocol="HTTP/1.1" maxThreads="50" />
    <Engine name="Catalina" defaultHost="localhost">
      <Realm className="org.apache.catalina.realm.UserDatabaseRealm" resourceName="UserDatabase" />
      <Host name="localhost" appBase="webapps" autoDeploy="false" deployOnStartup="false">
{contexts}{everything}
      </Host>
    </Engine>
  </Service>
</Server>
"""


def _valve_xml(valve: Valve) -> str:
    return (
        f'<Valve className="org.apache.catalina.valves.AccessLogValve" directory="logs"'
        f' prefix={quoteattr(valve.prefix)} suffix=".txt" pattern={quoteattr(valve.pattern)}'
        f' buffered="{str(valve.buffered).lower()}" />\n'
    )


_USERS = """\
<tomcat-users>
  <role rolename="customer" />
  <user username="alice" password="secret" roles="customer" />
  <user username="Ann Lee" password="secret" roles="customer" />
</tomcat-users>
"""

_ORDERS = "6orders.org.apache.juli.AsyncFileHandler"

_LOGGING = f"""
{_ORDERS}.level = INFO
{_ORDERS}.directory = ${{catalina.base}}/logs
{_ORDERS}.prefix = orders.
{_ORDERS}.encoding = UTF-8
{_ORDERS}.formatter = org.apache.juli.VerbatimFormatter
orders.level = INFO
orders.handlers = {_ORDERS}
orders.useParentHandlers = false
"""
