"""A real HDFS: one NameNode and one DataNode on 127.0.0.1, spoken to over WebHDFS."""

from __future__ import annotations

from pathlib import Path

from deploy.cluster.hadoop import (
    DATANODE,
    NAMENODE,
    SUPERUSER,
    Hadoop,
    small_cluster_settings,
    why_no_answer,
    why_not_writable,
)
from deploy.cluster.process import LOCALHOST, free_port

__all__ = ["SUPERUSER", "Hdfs"]


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
        self._hadoop = Hadoop(directory, heap_mb=heap_mb, detached=detached)
        self._namenode, self._datanode = self._hadoop.server("NameNode"), self._hadoop.server("DataNode")

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
        self._hadoop.launch(self._namenode, NAMENODE)
        self._hadoop.launch(self._datanode, DATANODE)
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
        self._hadoop.launch(self._namenode, NAMENODE)
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
        self._hadoop.launch(self._datanode, DATANODE)
        self._datanode.wait_ready(self._why_not_writable)

    def set_safe_mode(self, on: bool) -> None:
        """In safe mode HDFS answers reads and refuses every change."""
        self._hadoop.run("org.apache.hadoop.hdfs.tools.DFSAdmin", "-safemode", "enter" if on else "leave")

    def log_tail(self) -> str:
        """The ends of both logs."""
        return f"NameNode:\n{self._namenode.log_tail()}\nDataNode:\n{self._datanode.log_tail()}"

    def _format(self) -> None:
        """Write the settings, and format the NameNode's folder unless that is done."""
        self._hadoop.configure(f"hdfs://{LOCALHOST}:{self._rpc_port}", self._settings())
        if not (self.directory / "name" / "current" / "VERSION").exists():
            self._hadoop.run(NAMENODE, "-format", "-force", "-nonInteractive")

    def _settings(self) -> dict[str, str]:
        return {
            **small_cluster_settings(self.directory / "data", self._datanode_ports),
            "dfs.namenode.name.dir": (self.directory / "name").as_uri(),
            "dfs.namenode.rpc-address": f"{LOCALHOST}:{self._rpc_port}",
            "dfs.namenode.http-address": f"{LOCALHOST}:{self.http_port}",
        }

    def _why_no_namenode(self) -> str | None:
        return why_no_answer(self.url)

    def _why_not_writable(self) -> str | None:
        return why_not_writable(self.url)
