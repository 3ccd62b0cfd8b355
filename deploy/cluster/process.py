"""A service as a child process: started, asked until it is ready, stopped, killed, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from deploy.cluster.errors import ClusterError, StartFailed

LOCALHOST = "127.0.0.1"
STOP_DEADLINE_S = 20.0
_POLL_S = 0.05
_LIFELINE = str(Path(__file__).with_name("lifeline.py"))

# The kernel's "parent is gone" means the thread that forked. Tests start services on threads that end, so every
# service is forked by this one thread, which lives as long as the process.
_forker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cluster-forker")

_handed_out: set[int] = set()  # ports that somebody here was told and may not listen on yet


class ProcessId(NamedTuple):
    """A process for sure: a pid alone may belong to somebody else by now."""

    pid: int
    started_at: str  # field 22 of /proc/<pid>/stat: clock ticks since boot

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """None where no such process runs (a zombie does not run)."""
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else cls(pid, fields[19])

    @classmethod
    def read(cls, pid_file: Path) -> ProcessId | None:
        """What `write` wrote; None where there is no such file."""
        try:
            pid, started_at = pid_file.read_text().split()
        except FileNotFoundError:
            return None
        return cls(int(pid), started_at)

    def write(self, pid_file: Path) -> None:
        """Keep it for a later process."""
        pid_file.write_text(f"{self.pid} {self.started_at}\n")

    @property
    def running(self) -> bool:
        return ProcessId.of(self.pid) == self

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM, and SIGKILL for one that is still there after the deadline; returns when it is gone."""
        for number, wait_s in ((signal.SIGTERM, deadline_s), (signal.SIGKILL, 60.0)):
            if self.running:
                os.kill(self.pid, number)
            give_up_at = time.monotonic() + wait_s
            while time.monotonic() < give_up_at:
                if not self.running:
                    return
                time.sleep(_POLL_S)
        raise ClusterError(f"process {self.pid} is still there after SIGKILL")


class ServiceProcess:
    """One process of a service, started and ended as often as a test likes, with one log.

    It dies with this process, unless it gets a `pid_file`: then it lives on, and `ProcessId.read` finds it. Its output
    is appended to `log`. `command` and `environment` are read at each start.
    Not safe for concurrent use.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
        pid_file: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self.command = list(command)
        self._cwd = cwd
        self.environment = dict(environment) if environment is not None else None
        self._pid_file = pid_file
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """Of the running process. Raises: ClusterError when it does not run."""
        if self._child is None or self._child.poll() is not None:
            raise ClusterError(f"{self.name} is not running")
        return self._child.pid

    def start(self) -> None:
        """Start it; a second call while it runs does nothing. It is not ready yet: see `wait_ready`."""
        if not self.running:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            self._child = _forker.submit(self._fork).result()
            if self._pid_file is not None:
                started = ProcessId.of(self._child.pid)
                if started is not None:  # else it has ended already, which `wait_ready` tells
                    started.write(self._pid_file)

    def wait_ready(self, why_not: Callable[[], str | None], deadline_s: float = 240.0) -> None:
        """Ask until `why_not` has nothing to say.

        Raises: StartFailed when the process ends or the deadline passes; it is killed then.
        """
        give_up_at = time.monotonic() + deadline_s
        while True:
            reason = why_not()
            if reason is None:
                return
            if not self.running:
                raise StartFailed(f"{self.name} ended while it started{self._quote_log()}")
            if time.monotonic() > give_up_at:
                self.kill()
                raise StartFailed(f"{self.name} was not ready after {deadline_s:.0f} s: {reason}{self._quote_log()}")
            time.sleep(_POLL_S)

    def stop(self, deadline_s: float = STOP_DEADLINE_S) -> int | None:
        """SIGTERM, then SIGKILL after the deadline; a suspended process is woken first.

        Returns the exit status (negative: the signal's number), None when it was never started.
        """
        if self._child is None:
            return None
        self.terminate()
        try:
            self._child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            self.kill()
        return self._child.returncode

    def terminate(self) -> None:
        """SIGTERM without waiting; `stop` waits."""
        if self.running:
            os.kill(self.pid, signal.SIGTERM)
            os.kill(self.pid, signal.SIGCONT)  # a suspended process would never see it

    def wait_ended(self, deadline_s: float) -> int:
        """Wait for it to end by itself and return its exit status. Raises: subprocess.TimeoutExpired."""
        if self._child is None:
            raise ClusterError(f"{self.name} was never started")
        return self._child.wait(deadline_s)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(60)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def log_tail(self, lines: int = 40) -> str:
        """The end of its log; empty where there is none yet."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 64 * 1024))
            return "\n".join(log.read().decode("utf-8", "replace").splitlines()[-lines:])

    def _fork(self) -> subprocess.Popen[bytes]:
        lifeline = [] if self._pid_file else [sys.executable, "-IS", _LIFELINE, str(os.getpid())]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*lifeline, *self.command],
                cwd=self._cwd,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the terminal is ours to handle, not the service's
            )

    def _quote_log(self) -> str:
        return f"; the end of {self.log}:\n{self.log_tail()}"


def run_tool(name: str, command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    """Run a program that ends by itself. Raises: StartFailed with what it said when it fails."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        raise StartFailed(f"{name} failed:\n{done.stdout[-4000:]}")


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nobody listens on now, outside the kernel's range for outgoing connections.

    This process gets none twice, so that of several services none takes the port of one that has not started yet.
    Outside, because a service that is killed and started again on its port must not find a client's socket there.
    """
    for _ in range(200):
        port = int.from_bytes(os.urandom(2), "big") % 16_000 + 12_000
        if port not in _handed_out and port_is_free(port):
            _handed_out.add(port)
            return port
    raise ClusterError("no free port between 12000 and 28000")


def port_is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
        except OSError:
            return False
    return True
