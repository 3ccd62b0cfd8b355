"""Runs a command that gets a signal when its parent dies: `python lifeline.py <parent pid> <signal> <command> ...`.

The signal comes from the kernel (Linux), however the parent went; elsewhere the command just runs. The broker is to
save its data then (SIGTERM); the worker has nothing to save that is not in the broker (SIGKILL). The pid stays the
command's own. What the launcher ignores, its children get back.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent_pid, when_orphaned = int(sys.argv[1]), signal.Signals[sys.argv[2]]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, when_orphaned)
    if os.getppid() != parent_pid:  # it died before the kernel knew that we care
        sys.exit(1)
    for ignored in (signal.SIGTSTP, signal.SIGTTOU, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(sys.argv[3], sys.argv[3:])
