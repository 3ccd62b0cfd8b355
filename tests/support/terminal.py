"""A command on a pseudo terminal, as a person runs it: what it shows, keys that are typed, how it ends."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
CTRL_C, CTRL_Z = b"\x03", b"\x1a"
_DEADLINE_S = 90.0

# Between fork and exec in a process of its own: pty.fork() is not for a process with threads, as pytest's is.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


class OnTerminal:
    """A command in the checkout, on a terminal of its own. To be used with `with`: nothing of it is left behind."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.output = b""
        self._terminal, its_end = pty.openpty()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-ISc", _TAKE_TERMINAL, *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdin=its_end,
                stdout=its_end,
                stderr=its_end,
                start_new_session=True,
            )
        finally:
            os.close(its_end)

    def __enter__(self) -> OnTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._terminal)  # whoever still has it as controlling terminal gets SIGHUP

    @property
    def text(self) -> str:
        """All that was shown so far."""
        return self.output.decode("utf-8", "replace").replace("\r\n", "\n")

    def wait_for(self, text: str, deadline_s: float = _DEADLINE_S) -> None:
        """Returns when it was shown."""
        give_up_at = time.monotonic() + deadline_s
        while text not in self.text:
            assert time.monotonic() < give_up_at, self.text
            assert self._read() or text in self.text, self.text

    def type(self, keys: bytes) -> None:
        os.write(self._terminal, keys)

    def status(self, deadline_s: float = _DEADLINE_S) -> int:
        """The exit status, once the command has ended."""
        give_up_at = time.monotonic() + deadline_s
        while self._read():
            assert time.monotonic() < give_up_at, self.text
        return self._process.wait(max(0.0, give_up_at - time.monotonic()))

    def _read(self) -> bool:
        """Take what is there, waiting a moment for it. False when nobody has the terminal open any more."""
        if not select.select([self._terminal], [], [], 0.1)[0]:
            return True
        try:
            read = os.read(self._terminal, 65536)
        except OSError:  # how Linux says it
            return False
        self.output += read
        return bool(read)
