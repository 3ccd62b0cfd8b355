"""Runs a command that dies with the process which started it: `python lifeline.py <parent pid> <command> ...`.

The kernel sends SIGKILL when the parent is gone, however it went. It is set here, between fork and exec, because
doing it in `preexec_fn` runs Python between fork and exec of a process with threads. The pid stays the command's own.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent_pid = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the kernel knew that we care
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])
