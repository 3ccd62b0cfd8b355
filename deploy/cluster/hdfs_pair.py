"""A real HDFS with two NameNodes, one active and one standby, and failover by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

from deploy.cluster.hadoop import (
    DATANODE,
    NAMENODE,
    SUPERUSER,
    Hadoop,
    bean,
    small_cluster_settings,
    why_not_writable,
)
from deploy.cluster.process import LOCALHOST, free_port

NAMENODES = 2
_PREALLOCATED = b"\xff" * 4  # where a segment's layout version, a small negative number, will be
_NAMESERVICE = "pair"
_HAADMIN = "org.apache.hadoop.hdfs.tools.DFSHAAdmin"
_STATUS = "Hadoop:service=NameNode,name=NameNodeStatus"
_INFO = "Hadoop:service=NameNode,name=NameNodeInfo"


class HdfsPair:
    """Two NameNodes of one nameservice and a DataNode that reports to both; all keep ports and data over restarts.

    NameNodes are numbered 0 and 1; one that starts is standby. The edits are in a folder that both have, so that who
    becomes active has all that was ever acknowledged; nothing but `fail_over` makes one active. Not safe for concurrent
    use.
    """

    def __init__(self, directory: Path, *, heap_mb: int = 192) -> None:
        """Nothing runs yet."""
        self.directory = directory
        self._hadoop = Hadoop(directory, heap_mb=heap_mb)
        self._http_ports = [free_port() for _ in range(NAMENODES)]
        self._rpc_ports = [free_port() for _ in range(NAMENODES)]
        self._datanode_ports = [free_port() for _ in range(3)]
        self._namenodes = [self._hadoop.server(f"NameNode{number}") for number in range(NAMENODES)]
        self._datanode = self._hadoop.server("DataNode")

    @property
    def urls(self) -> list[str]:
        """Where each NameNode's WebHDFS answers, as HTTP."""
        return [f"http://{LOCALHOST}:{port}" for port in self._http_ports]

    @property
    def url(self) -> str:
        """Both, as the `hdfs` client takes them."""
        return ";".join(self.urls)

    def history_url(self, path: str, user: str = SUPERUSER) -> str:
        """A folder as a value of SLUICE_HISTORY, both NameNodes in it."""
        hosts = ";".join(f"{LOCALHOST}:{port}" for port in self._http_ports)
        return f"webhdfs://{user}@{hosts}/{path.lstrip('/')}"

    def start(self) -> None:
        """Start what does not run, see to it that one NameNode is active, and return when HDFS can be written to.

        Takes about 12 s from nothing. Raises: StartFailed, FetchFailed, ProgramMissing.
        """
        self._format()
        for number in range(NAMENODES):
            self._launch_namenode(number)
        self._hadoop.launch(self._datanode, DATANODE)
        for number in range(NAMENODES):
            self._wait_up(number)
        if self.active is None:
            self._hadoop.run(_HAADMIN, "-transitionToActive", _id(0))
        active = self.active or 0
        self._namenodes[active].wait_ready(lambda: why_not_writable(self.urls[active]))

    def state(self, number: int) -> str:
        """`active` or `standby`; else what hinders the answer."""
        try:
            return str(bean(self.urls[number], _STATUS)["State"])
        except (OSError, LookupError, ValueError) as error:
            return repr(error)

    @property
    def active(self) -> int | None:
        """The number of the active NameNode, None where there is none."""
        return next((number for number in range(NAMENODES) if self.state(number) == "active"), None)

    def fail_over(self, to: int) -> None:
        """As `hdfs haadmin -failover` does it: the other one becomes standby, if it still answers, this one active.

        Returns when HDFS can be written to again. Takes about 3 s. Raises: StartFailed.
        """
        if self.state(1 - to) not in ("active", "standby"):
            drop_torn_segments(self.directory / "edits")
        self._hadoop.run(_HAADMIN, "-failover", _id(1 - to), _id(to))
        self._namenodes[to].wait_ready(lambda: why_not_writable(self.urls[to]))

    def kill_namenode(self, number: int) -> None:
        """SIGKILL one."""
        self._namenodes[number].kill()

    def start_namenode(self, number: int) -> None:
        """Start one while the other is active, and return when it could take over: standby, out of safe mode."""

        def why_not() -> str | None:
            try:
                return str(bean(self.urls[number], _INFO)["Safemode"]) or None
            except (OSError, LookupError, ValueError) as error:
                return repr(error)

        self._launch_namenode(number)
        self._wait_up(number)
        self._namenodes[number].wait_ready(why_not)

    def kill(self) -> None:
        """SIGKILL all."""
        for process in (self._datanode, *self._namenodes):
            process.kill()

    def log_tail(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{process.name}:\n{process.log_tail()}" for process in (*self._namenodes, self._datanode))

    def _launch_namenode(self, number: int) -> None:
        """On one machine a NameNode can't tell by its address which of the two it is."""
        if not self._namenodes[number].running:
            drop_torn_segments(self._name_directory(number))
        self._hadoop.launch(self._namenodes[number], NAMENODE, "-D", f"dfs.ha.namenode.id={_id(number)}")

    def _wait_up(self, number: int) -> None:
        def why_not() -> str | None:
            state = self.state(number)
            return None if state in ("active", "standby") else state

        self._namenodes[number].wait_ready(why_not)

    def _format(self) -> None:
        """Write the settings, and format the folders of both and the shared one unless that is done."""
        self._hadoop.configure(f"hdfs://{_NAMESERVICE}", self._settings())
        first, second = (self._name_directory(number) for number in range(NAMENODES))
        if not (second / "current" / "VERSION").exists():
            self._hadoop.run(NAMENODE, "-D", f"dfs.ha.namenode.id={_id(0)}", "-format", "-force", "-nonInteractive")
            shutil.copytree(first, second)  # what `-bootstrapStandby` does, without two more runs of Java

    def _name_directory(self, number: int) -> Path:
        return self.directory / f"name{number}"

    def _settings(self) -> dict[str, str]:
        settings = {
            **small_cluster_settings(self.directory / "data", self._datanode_ports),
            "dfs.nameservices": _NAMESERVICE,
            f"dfs.ha.namenodes.{_NAMESERVICE}": ",".join(map(_id, range(NAMENODES))),
            # The DataNode's WebHDFS goes to the NameNodes as any client.
            f"dfs.client.failover.proxy.provider.{_NAMESERVICE}": (
                "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider"
            ),
            # Not half a second, doubled up to 15: a failover here takes three seconds.
            "dfs.client.failover.sleep.base.millis": "50",
            "dfs.client.failover.sleep.max.millis": "500",
            "dfs.namenode.shared.edits.dir": (self.directory / "edits").as_uri(),
            # Fencing keeps a former active one from writing on; here that one is standby or dead by then.
            "dfs.ha.fencing.methods": "shell(/bin/true)",
            # The standby reads only segments that are complete, and has the active one begin one each second. One that
            # starts stays in safe mode until it knows which blocks were deleted.
            "dfs.ha.tail-edits.period": "1",
            "dfs.ha.log-roll.period": "1",
        }
        for number in range(NAMENODES):
            of = f"{_NAMESERVICE}.{_id(number)}"
            settings[f"dfs.namenode.name.dir.{of}"] = self._name_directory(number).as_uri()
            settings[f"dfs.namenode.rpc-address.{of}"] = f"{LOCALHOST}:{self._rpc_ports[number]}"
            settings[f"dfs.namenode.http-address.{of}"] = f"{LOCALHOST}:{self._http_ports[number]}"
        return settings


def drop_torn_segments(journal: Path) -> None:
    """Remove segments that a NameNode had made and not begun to write when it was killed: there is nothing in them.

    HDFS 3.4.1 puts such a file aside when the NameNode becomes active, and ends it all the same. A new segment each
    second, as here, makes it likely. Only for a journal that nobody writes.
    """
    for segment in (journal / "current").glob("edits_inprogress_*"):
        with segment.open("rb") as file:
            version = file.read(4)
        if version in (b"", _PREALLOCATED):
            segment.unlink()


def _id(number: int) -> str:
    return f"nn{number}"
