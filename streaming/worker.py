"""Faust's worker process: what it logs by default, and how it ends."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import faust

from streaming.collector import Collector
from streaming.errors import CannotStart
from streaming.stop_deadline import StopDeadline

OUR_PACKAGES = ("app", "agents", "tables", "config", "streaming", "parsers", "sources", "sinks", "telemetry")
NOISY_PACKAGES = ("faust", "mode", "aiokafka", "asyncio", "hdfs", "urllib3")
REPEAT_S = 60.0
SWITCH_INTERVAL_S = 0.001


class Worker(faust.Worker):
    """Tells an operator what goes on without `--loglevel`, and why it cannot start in one line."""

    crash_reason: Any  # mode's property has no type

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._cannot_start: CannotStart | None = None
        self._stop_deadline = StopDeadline(lambda: self.app.unfinished())

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Show our own lifecycle lines and everybody's warnings; `--loglevel info` or `debug` shows all."""
        self.spinner = None
        for handler in logger.handlers:
            handler.addFilter(without_traceback)
        if level < logging.INFO:
            return
        for handler in logger.handlers:
            handler.setLevel(logging.NOTSET)
            handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
            handler.addFilter(Repeats("aiokafka", REPEAT_S))
        for name in OUR_PACKAGES:
            logging.getLogger(name).setLevel(min(level, logging.INFO))
        for name in NOISY_PACKAGES:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
        # Calls a topic that was made a moment ago missing, as an error; what then fails says so itself.
        logging.getLogger("aiokafka.cluster").setLevel(logging.CRITICAL)

    async def on_first_start(self) -> None:
        """Tune the interpreter for batches: docs/decisions/0002-batches.md has the measurements."""
        await super().on_first_start()
        await self.add_runtime_dependency(Collector())
        # The event loop waits at most this long for the interpreter lock while a batch is being worked on.
        sys.setswitchinterval(SWITCH_INTERVAL_S)

    def _schedule_shutdown(self, signal: Any) -> None:
        """SIGTERM or SIGINT: stop in order, within the time that is granted for it."""
        self._stop_deadline.begin()
        super()._schedule_shutdown(signal)

    async def start(self) -> None:
        """Start everything; what cannot start is kept for the end of the process."""
        try:
            await super().start()
        except CannotStart as exc:
            self._cannot_start = exc

    def _shutdown_loop(self) -> None:
        if isinstance(self.crash_reason, CannotStart):
            self._cannot_start, self.crash_reason = self.crash_reason, None
        super()._shutdown_loop()
        if self._cannot_start is not None:
            print(f"Sluice cannot run: {self._cannot_start}", file=self.stderr, flush=True)
            raise SystemExit(1)


def without_traceback(record: logging.LogRecord) -> bool:
    """Drop tracebacks of errors that are the machine's, not the program's."""
    if record.exc_info and isinstance(record.exc_info[1], CannotStart):
        record.exc_info = None
        record.exc_text = None
    return True


class Repeats(logging.Filter):
    """Lets the same line of one library through once in a while: aiokafka says that a broker is away at every try."""

    def __init__(self, package: str, every_s: float) -> None:
        super().__init__()
        self._package = package
        self._every_s = every_s
        self._seen: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show the record."""
        if record.name.partition(".")[0] != self._package:
            return True
        now, line = time.monotonic(), record.getMessage()
        if now - self._seen.get(line, -self._every_s) < self._every_s:
            return False
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[line] = now
        return True
