"""Signals as values: the launcher waits for them in one place, so that none interrupts it elsewhere."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType, TracebackType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Ctrl-Z: nobody would wake a suspended launcher, as make is not suspended with it and the shell goes on waiting.
_IGNORED = (signal.SIGTSTP,)


class Signals:
    """While entered, SIGINT, SIGTERM and SIGHUP only arrive at `wait`, and the end of a child ends the waiting early.

    To be entered in the main thread. The former handlers are back afterwards.
    """

    def __enter__(self) -> Signals:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        self._former_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._former = {number: signal.signal(number, _noticed) for number in (*STOPPING, signal.SIGCHLD)}
        self._former |= {number: signal.signal(number, signal.SIG_IGN) for number in _IGNORED}
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: object, _traceback: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._former_wakeup)
        os.close(self._read_end)
        os.close(self._write_end)

    def wait(self, timeout_s: float) -> list[signal.Signals]:
        """The stopping signals that came, at the latest after `timeout_s`; empty when there was none."""
        select.select([self._read_end], [], [], timeout_s)
        try:
            noticed = os.read(self._read_end, 512)
        except BlockingIOError:
            return []
        return [signal.Signals(number) for number in noticed if number in STOPPING]


def _noticed(_number: int, _frame: FrameType | None) -> None:
    """The interpreter has written the number to the pipe already."""
