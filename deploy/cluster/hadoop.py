"""What every HDFS here is made of: Hadoop's settings in a folder, its programs, and questions to its web servers."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, cast
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener
from xml.sax.saxutils import escape

from deploy.cluster.fetch import fetch
from deploy.cluster.process import LOCALHOST, ServiceProcess, run_tool
from deploy.cluster.programs import LIGHT_DUTY, java

SUPERUSER = "sluice"
NAMENODE = "org.apache.hadoop.hdfs.server.namenode.NameNode"
DATANODE = "org.apache.hadoop.hdfs.server.datanode.DataNode"

# WebHDFS answers 500 on Java 17 without it (Hadoop looks into private fields of java.lang).
_OPEN_JAVA = ["--add-opens", "java.base/java.lang=ALL-UNNAMED"]


class Hadoop:
    """Programs of Hadoop's that share a folder, the settings in it, and the user `SUPERUSER`."""

    def __init__(self, directory: Path, *, heap_mb: int, detached: bool = False) -> None:
        """Nothing is written yet. `detached` servers outlive this process; their pid files are in `directory`."""
        self.directory = directory
        self._heap_mb = heap_mb
        self._detached = detached
        self._environment = {**os.environ, "HADOOP_USER_NAME": SUPERUSER}

    def server(self, name: str) -> ServiceProcess:
        """A server with a log of its own, for `launch` to start."""
        return ServiceProcess(
            name,
            [],
            self.directory / f"{name.lower()}.log",
            cwd=self.directory,
            environment=self._environment,
            pid_file=self.directory / f"{name.lower()}.pid" if self._detached else None,
        )

    def configure(self, default_fs: str, hdfs: Mapping[str, str]) -> None:
        """Write the settings that every program started afterwards reads, and the folders that servers look for."""
        for server in ("hdfs", "datanode"):
            (self.directory / "web" / "webapps" / server).mkdir(parents=True, exist_ok=True)
        conf = self.directory / "conf"
        conf.mkdir(exist_ok=True)
        (conf / "core-site.xml").write_text(_site({"fs.defaultFS": default_fs}))
        (conf / "hdfs-site.xml").write_text(_site(hdfs))
        (conf / "log4j.properties").write_text(_LOG4J)

    def launch(self, server: ServiceProcess, main_class: str, *arguments: str) -> None:
        """Start a server that does not run; it is not ready yet."""
        server.command = self._command(self._heap_mb, main_class, *arguments)
        server.start()

    def run(self, *main_class_and_arguments: str) -> None:
        """Run a tool to its end. Raises: StartFailed with what it said when it fails."""
        command = self._command(128, *main_class_and_arguments)
        run_tool(" ".join(main_class_and_arguments), command, environment=self._environment)

    def _command(self, heap_mb: int, *main_class_and_arguments: str) -> list[str]:
        """Settings come first; `web` has the empty folders that the servers look for instead of their web pages."""
        classpath = f"{self.directory / 'conf'}:{self.directory / 'web'}:{fetch('hadoop')}/*"
        return [java(), f"-Xmx{heap_mb}m", *LIGHT_DUTY, *_OPEN_JAVA, "-cp", classpath, *main_class_and_arguments]


def small_cluster_settings(data: Path, datanode_ports: Sequence[int]) -> dict[str, str]:
    """Settings of one DataNode, which has three ports, and of NameNodes that know of one replica and no other."""
    data_port, data_http_port, data_ipc_port = datanode_ports
    return {
        "dfs.datanode.data.dir": data.as_uri(),
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


def why_no_answer(namenode_url: str) -> str | None:
    """None when a NameNode answers a read."""
    try:
        with _open("GET", f"{namenode_url}/webhdfs/v1/?op=GETFILESTATUS&user.name={SUPERUSER}"):
            return None
    except OSError as error:  # urllib's errors are OSErrors
        return repr(error)


def why_not_writable(namenode_url: str) -> str | None:
    """None when a file could be written and deleted: no safe mode and a DataNode that takes blocks."""
    probe = f"{namenode_url}/webhdfs/v1/.ready-{uuid.uuid4().hex}?user.name={SUPERUSER}&op="
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


def bean(server_url: str, name: str) -> dict[str, Any]:
    """What a server tells of itself under a JMX name. Raises: OSError; LookupError where it does not know the name."""
    with _open("GET", f"{server_url}/jmx?qry={name}") as answer:
        told: dict[str, Any] = json.load(answer)["beans"][0]
    return told


def _open(method: str, url: str, body: bytes | None = None) -> HTTPResponse:
    request = Request(url, data=body, method=method, headers={"Content-Type": "application/octet-stream"})
    direct = build_opener(ProxyHandler({}))  # a proxy has no way to 127.0.0.1
    return cast(HTTPResponse, direct.open(request, timeout=30))


def _site(settings: Mapping[str, str]) -> str:
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
