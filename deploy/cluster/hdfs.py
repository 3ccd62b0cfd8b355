"""A real HDFS: one NameNode and one DataNode on 127.0.0.1, spoken to over WebHDFS."""

from __future__ import annotations

import os
import subprocess
import uuid
from http.client import HTTPResponse
from pathlib import Path
from typing import cast
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener
from xml.sax.saxutils import escape

from deploy.cluster.errors import StartFailed
from deploy.cluster.fetch import fetch
from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port
from deploy.cluster.programs import LIGHT_DUTY, java

SUPERUSER = "sluice"

# WebHDFS answers 500 on Java 17 without it (Hadoop looks into private fields of java.lang).
_OPEN_JAVA = ["--add-opens", "java.base/java.lang=ALL-UNNAMED"]
_NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
_DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"


class Hdfs:
    """A NameNode and a DataNode that keep their ports and data from `start` to `start`, whatever happens in between.

    Permissions are enforced; `SUPERUSER` may do everything, any other user what the modes allow. A file has one
    replica. A DataNode that is gone counts as dead after 12 s. Not safe for concurrent use.
    """

    def __init__(
        self, directory: Path, *, http_port: int | None = None, heap_mb: int = 192, detached: bool = False
    ) -> None:
        """Nothing runs yet. `http_port` is the NameNode's, where WebHDFS answers.

        A `detached` HDFS outlives this process; its pid files are in `directory`.
        """
        self.directory = directory
        self.http_port = http_port or free_port()
        self._rpc_port = free_port()
        self._datanode_ports = [free_port() for _ in range(3)]
        self._heap_mb = heap_mb
        self._namenode, self._datanode = (
            ServiceProcess(
                name,
                [],
                directory / f"{name.lower()}.log",
                cwd=directory,
                environment={**os.environ, "HADOOP_USER_NAME": SUPERUSER},
                pid_file=directory / f"{name.lower()}.pid" if detached else None,
            )
            for name in ("NameNode", "DataNode")
        )

    @property
    def url(self) -> str:
        """Where WebHDFS answers, as HTTP."""
        return f"http://{LOCALHOST}:{self.http_port}"

    @property
    def rpc_address(self) -> str:
        """`host:port` of the NameNode for Hadoop's own clients (`hdfs://`)."""
        return f"{LOCALHOST}:{self._rpc_port}"

    @property
    def pids(self) -> list[int]:
        """Of the NameNode and the DataNode, as far as they run."""
        return [process.pid for process in (self._namenode, self._datanode) if process.running]

    def history_url(self, path: str, user: str = SUPERUSER) -> str:
        """A folder as a value of SLUICE_HISTORY."""
        return f"webhdfs://{user}@{LOCALHOST}:{self.http_port}/{path.lstrip('/')}"

    def start(self) -> None:
        """Start what does not run and return when a file was written and deleted. Takes about 7 s.

        Raises: StartFailed, FetchFailed, ProgramMissing.
        """
        self._format()
        self._launch(self._namenode, _NAMENODE)
        self._launch(self._datanode, _DATANODE)
        self._namenode.wait_ready(self._why_no_namenode)
        self._datanode.wait_ready(self._why_not_writable)

    def stop(self) -> None:
        """Shut both down, or kill them after a deadline."""
        for process in (self._datanode, self._namenode):
            process.terminate()
        for process in (self._datanode, self._namenode):
            process.stop()

    def kill(self) -> None:
        """SIGKILL both."""
        self._datanode.kill()
        self._namenode.kill()

    def kill_namenode(self) -> None:
        """SIGKILL the NameNode."""
        self._namenode.kill()

    def stop_namenode(self) -> None:
        """Shut the NameNode down."""
        self._namenode.stop()

    def start_namenode(self) -> None:
        """Start the NameNode and return when HDFS can be written to, if a DataNode runs, else when it answers."""
        self._launch(self._namenode, _NAMENODE)
        self._namenode.wait_ready(self._why_no_namenode)
        if self._datanode.running:
            self._namenode.wait_ready(self._why_not_writable)

    def restart_namenode(self) -> None:
        """Shut the NameNode down and start it again."""
        self.stop_namenode()
        self.start_namenode()

    def pause_namenode(self) -> None:
        """SIGSTOP: the NameNode accepts connections (the kernel does) and answers nothing."""
        self._namenode.pause()

    def cont_namenode(self) -> None:
        """SIGCONT after `pause_namenode`."""
        self._namenode.cont()

    def kill_datanode(self) -> None:
        """SIGKILL the DataNode: names can still be listed and renamed, nothing can be read or written."""
        self._datanode.kill()

    def start_datanode(self) -> None:
        """Start the DataNode and return when HDFS can be written to."""
        self._launch(self._datanode, _DATANODE)
        self._datanode.wait_ready(self._why_not_writable)

    def set_safe_mode(self, on: bool) -> None:
        """In safe mode HDFS answers reads and refuses every change."""
        self._run("org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", "enter" if on else "leave")

    def log_tail(self) -> str:
        """The ends of both logs."""
        return f"NameNode:\n{self._namenode.log_tail()}\nDataNode:\n{self._datanode.log_tail()}"

    def _launch(self, process: ServiceProcess, main_class: str) -> None:
        process.command = [java(), f"-Xmx{self._heap_mb}m", *LIGHT_DUTY, *_OPEN_JAVA]
        process.command += ["-cp", self._classpath(), main_class]
        process.start()

    def _classpath(self) -> str:
        """Settings first; `web` has the empty folders that the servers look for instead of their web pages."""
        return f"{self.directory / 'conf'}:{self.directory / 'web'}:{fetch('hadoop')}/*"

    def _format(self) -> None:
        """Write the settings, and format the NameNode's folder unless that is done."""
        for server in ("hdfs", "datanode"):
            (self.directory / "web" / "webapps" / server).mkdir(parents=True, exist_ok=True)
        conf = self.directory / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "core-site.xml").write_text(_site({"fs.defaultFS": f"hdfs://{LOCALHOST}:{self._rpc_port}"}))
        (conf / "hdfs-site.xml").write_text(_site(self._settings()))
        (conf / "log4j.properties").write_text(_LOG4J)
        if not (self.directory / "name" / "current" / "VERSION").exists():
            self._run(_NAMENODE, "-format", "-force", "-nonInteractive")

    def _run(self, *main_class_and_arguments: str) -> None:
        """Run a tool of Hadoop's to its end."""
        done = subprocess.run(
            [java(), "-Xmx128m", *LIGHT_DUTY, *_OPEN_JAVA, "-cp", self._classpath(), *main_class_and_arguments],
            env=self._namenode.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise StartFailed(f"{' '.join(main_class_and_arguments)} failed:\n{done.stdout[-4000:]}")

    def _settings(self) -> dict[str, str]:
        data_port, data_http_port, data_ipc_port = self._datanode_ports
        return {
            "dfs.namenode.name.dir": (self.directory / "name").as_uri(),
            "dfs.namenode.rpc-address": f"{LOCALHOST}:{self._rpc_port}",
            "dfs.namenode.http-address": f"{LOCALHOST}:{self.http_port}",
            "dfs.datanode.data.dir": (self.directory / "data").as_uri(),
            "dfs.datanode.address": f"{LOCALHOST}:{data_port}",
            "dfs.datanode.http.address": f"{LOCALHOST}:{data_http_port}",
            "dfs.datanode.ipc.address": f"{LOCALHOST}:{data_ipc_port}",
            # The NameNode's redirects name the DataNode so; this machine's own name may not lead back to it.
            "dfs.datanode.hostname": LOCALHOST,
            "dfs.replication": "1",
            # Who closes a file before its block is reported asks again after this, not after 400 ms: a write of a small
            # file then takes 40 ms instead of 300.
            "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "10",
            # Safe mode ends as soon as the blocks are reported, not 30 s after.
            "dfs.namenode.safemode.extension": "0",
            # A dead DataNode is noticed after 2 x 1 s + 10 x 1 s instead of ten minutes.
            "dfs.heartbeat.interval": "1",
            "dfs.namenode.heartbeat.recheck-interval": "1000",
            # There is no second DataNode that could take over a block.
            "dfs.client.block.write.replace-datanode-on-failure.enable": "false",
            # The default of 100 MB free, or else safe mode, is for disks that hold nothing but this.
            "dfs.namenode.resource.du.reserved": "1048576",
        }

    def _why_no_namenode(self) -> str | None:
        return _failure("GET", f"{self.url}/webhdfs/v1/?op=GETFILESTATUS&user.name={SUPERUSER}")

    def _why_not_writable(self) -> str | None:
        """None when a file could be written and deleted: no safe mode and a DataNode that takes blocks."""
        probe = f"{self.url}/webhdfs/v1/.ready-{uuid.uuid4().hex}?user.name={SUPERUSER}&op="
        try:
            with _open("PUT", probe + "CREATE&noredirect=true") as answer:
                location = answer.read().decode().split('"')[3]  # {"Location":"http://..."}
            with _open("PUT", location, b"ready"), _open("DELETE", probe + "DELETE"):
                return None
        except HTTPError as error:
            with error:
                return f"HTTP {error.code}: {error.read(500).decode('utf-8', 'replace')}"
        except (OSError, IndexError) as error:
            return repr(error)


def _open(method: str, url: str, body: bytes | None = None) -> HTTPResponse:
    request = Request(url, data=body, method=method, headers={"Content-Type": "application/octet-stream"})
    direct = build_opener(ProxyHandler({}))  # a proxy has no way to 127.0.0.1
    return cast(HTTPResponse, direct.open(request, timeout=30))


def _failure(method: str, url: str) -> str | None:
    try:
        with _open(method, url):
            return None
    except OSError as error:  # urllib's errors are OSErrors
        return repr(error)


def _site(settings: dict[str, str]) -> str:
    """Hadoop's XML for a few settings."""
    properties = "".join(
        f"  <property><name>{escape(name)}</name><value>{escape(value)}</value></property>\n"
        for name, value in settings.items()
    )
    return f'<?xml version="1.0"?>\n<configuration>\n{properties}</configuration>\n'


_LOG4J = """\
log4j.rootLogger=INFO,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %p %c{2}: %m%n
"""
