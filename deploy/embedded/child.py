"""A child process of the launcher, with a log file of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LIFELINE = str(Path(__file__).with_name("lifeline.py"))
_KEPT_LOG_BYTES = 16 * 1024 * 1024  # a longer log is put aside at the next start, one generation is kept
_QUOTED_BYTES = 64 * 1024


class Child:
    """One process, in a session of its own so that Ctrl-C at the terminal is the launcher's alone.

    It must be started by the launcher's main thread: the kernel's "parent is gone" means the thread that forked.
    Not safe for concurrent use.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path,
        environment: Mapping[str, str],
        when_orphaned: signal.Signals,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self.log_start = 0  # where in the log this run begins, in bytes
        self._cwd = cwd
        self._environment = dict(environment)
        self._when_orphaned = when_orphaned
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output is appended to the log. Raises OSError when there is no such program."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _KEPT_LOG_BYTES:
            self.log.replace(self.log.with_name(f"{self.log.name}.1"))
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-IS", _LIFELINE, str(os.getpid()), self._when_orphaned.name, *self.command],
                cwd=self._cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the process that was started last. Raises RuntimeError when there was none."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal's number; None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """SIGTERM, without waiting; a suspended process is woken for it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. Harmless for one that has ended or was never started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self, deadline_s: float) -> None:
        """SIGTERM, and SIGKILL after the deadline; returns when it is gone. Harmless like `kill`."""
        if self._process is not None and self.running:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(deadline_s)
            self.kill()

    def ending(self) -> str:
        """How it ended, in words: `exit status 1`, `SIGKILL`."""
        status = self.status
        if status is None:
            return "still running"
        if status >= 0:
            return f"exit status {status}"
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"

    def log_tail(self, n_lines: int = 20) -> list[str]:
        """The last lines that this run has logged, undecodable bytes replaced."""
        if not self.log.exists():
            return []
        with self.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self.log_start, size - _QUOTED_BYTES))
            return log.read().decode("utf-8", "replace").splitlines()[-n_lines:]

    def quoted_log(self) -> str:
        """A sentence with the end of this run's log, harmless to a terminal."""
        tail = self.log_tail()
        if not tail:
            return f" Its log is empty: {self.log}"
        quoted = "\n".join("  | " + "".join(c if c.isprintable() else "?" for c in line) for line in tail)
        return f" The end of its log, {self.log}:\n{quoted}"
