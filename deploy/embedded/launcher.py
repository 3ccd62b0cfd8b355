"""Starts the broker, then the worker, watches both, and stops them in the order in which nothing is lost."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from deploy.cluster.process import free_port
from deploy.embedded import history_guard
from deploy.embedded.broker import broker_command, process_on, size_of
from deploy.embedded.child import Child
from deploy.embedded.errors import ChildEnded, LauncherError, PortTaken
from deploy.embedded.guide import guide
from deploy.embedded.instance import only_instance
from deploy.embedded.plan import CHECKOUT, WEB_PORT, Plan, shown
from deploy.embedded.ports import LOOPBACK, answers, is_free, listener
from deploy.embedded.readiness import not_ready
from deploy.embedded.signals import Signals
from deploy.embedded.worker_log import CalmLog

POLL_S = 0.2
BROKER_START_S = 120.0  # it reads all of its data before it listens
BROKER_STOP_S = 300.0  # it writes all of its data once more: 17 s for a million records of 250 bytes
WORKER_STOP_S = 32.0  # the worker promises 30
READY_HINT_S = 20.0
LARGE_DATA_BYTES = 500_000_000
DOUBLE_TAP_S = 1.5  # a second Ctrl-C this soon is the same wish


class StopRequested(Exception):
    """Somebody asked by Ctrl-C or SIGTERM, before all was up."""


class Launcher:
    """One `make run`. States: starting -> running -> stopping -> ended; `run` goes through all of them.

    Whatever happens, no child outlives `run`; if the launcher itself is killed, the kernel ends them (Linux).
    Not reusable, and to be run in the main thread.
    """

    def __init__(
        self,
        plan: Plan,
        signals: Signals,
        *,
        worker_command: list[str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`signals` must be entered. `worker_command` and `say` are for tests."""
        self._plan = plan
        self._signals = signals
        self._worker_command = worker_command if worker_command is not None else plan.worker_command()
        self._say = say or _say
        self._broker: Child | None = None
        self._worker: Child | None = None
        self._calm: CalmLog | None = None
        # While it starts it may not have learnt yet what to do on SIGTERM; it has nothing to finish then either.
        self._worker_ends_well_with: tuple[int, ...] = (0, -signal.SIGTERM)

    def run(self) -> int:
        """Start all, wait for Ctrl-C, SIGTERM or SIGHUP, stop all. Returns the exit status.

        0: everything was stopped as asked and had time to finish. 1: the reason was said.
        """
        try:
            with only_instance(self._plan.directory, self._plan.web):
                return self._run()
        except LauncherError as error:
            self._say(str(error))
            return 1

    def _run(self) -> int:
        try:
            self._start_broker()
            self._keep_lost_history_apart()
            self._start_worker()
            while True:
                self._pause()
        except StopRequested as asked:
            self._say(f"{asked}: stopping.")
            return self._stop()
        except ChildEnded as error:
            self._say(str(error))
            self._calm = None  # what the other one says about it would only bury the reason
            self._stop(after_failure=True)
            return 1
        finally:  # both have ended by now, unless something went wrong that nobody thought of
            if self._worker is not None:
                self._worker.kill()
            if self._broker is not None:
                self._broker.end(BROKER_STOP_S)

    def _start_broker(self) -> None:
        plan = self._plan
        if not is_free(plan.web_port, plan.web_host):
            raise PortTaken(
                f"Port {plan.web_port}, where the web is to be, is taken{_by(plan.web_port)}. "
                f"Stop that one, or choose another: make run WEB_PORT={_another(plan.web_port)}"
            )
        self._wait_for_former_broker()
        self._broker_port = plan.broker_port
        if not is_free(plan.broker_port):
            self._broker_port = free_port()
            self._say(
                f"Port {plan.broker_port} is taken{_by(plan.broker_port)}: the broker listens on {self._broker_port}."
            )
        if "SLUICE_BROKER" in plan.environment:
            self._say(
                "SLUICE_BROKER is set, but `make run` brings its own broker and uses that one "
                "(for yours: `faust -A app worker`)."
            )
        self._say(f"Starting the embedded broker, data in {shown(plan.broker_data)} ...")
        kept_bytes = size_of(plan.broker_data)
        if kept_bytes > LARGE_DATA_BYTES:
            self._say(
                f"It holds {kept_bytes / 1e6:,.0f} MB, which it reads into memory now and writes again at each change. "
                f"To begin anew: stop, and remove {shown(plan.directory)}"
            )
        plan.broker_data.mkdir(parents=True, exist_ok=True)
        self._broker = Child(
            "broker",
            broker_command(plan.broker_data, self._broker_port),
            plan.broker_log,
            cwd=plan.directory,
            environment=plan.environment,
            when_orphaned=signal.SIGTERM,
        )
        self._broker.start()
        give_up_at = time.monotonic() + BROKER_START_S
        while not answers(self._broker_port):
            self._pause()
            if time.monotonic() > give_up_at:
                raise ChildEnded(f"The broker did not listen after {BROKER_START_S:.0f} s.{self._broker.quoted_log()}")

    def _wait_for_former_broker(self) -> None:
        """The broker of a launcher that was killed goes on writing its data for a moment."""
        pid = process_on(self._plan.broker_data)
        if pid is not None:
            self._say(f"The broker of the last run (pid {pid}) is still writing its data; waiting for it.")
        give_up_at = time.monotonic() + BROKER_STOP_S
        while pid is not None:
            self._pause()
            pid = process_on(self._plan.broker_data)
            if pid is not None and time.monotonic() > give_up_at:
                raise LauncherError(f"Another broker (pid {pid}) uses {shown(self._plan.broker_data)}: kill {pid}")

    def _keep_lost_history_apart(self) -> None:
        root = self._plan.local_history
        written = history_guard.written_ends(root) if root is not None else {}
        if root is None or not written:
            return
        try:
            lost = history_guard.lost_partitions(written, history_guard.broker_ends(f"{LOOPBACK}:{self._broker_port}"))
        except Exception as error:  # whatever a broker that was just killed may do: the worker checks again
            self._say(f"The history could not be compared with the broker: {error!r}")
            return
        if lost:
            aside = history_guard.set_aside(root)
            self._say(
                "The history has records that the broker does not have any more (its data was deleted, or it was "
                f"killed): set aside as {shown(aside)}, a new one begins in {shown(root)}."
            )

    def _start_worker(self) -> None:
        plan = self._plan
        self._say("Starting the worker ...")
        self._worker = Child(
            "worker",
            self._worker_command,
            plan.worker_log,
            cwd=CHECKOUT,
            environment=plan.worker_environment(self._broker_port),
            when_orphaned=signal.SIGKILL,
        )
        self._worker.start()
        self._calm = CalmLog(plan.worker_log, self._worker.log_start)
        hint_at = time.monotonic() + READY_HINT_S
        while (missing := not_ready(plan.web)) is not None:
            self._pause()
            if time.monotonic() > hint_at:
                self._say(f"Still waiting for the worker to be ready: {missing}")
                hint_at = time.monotonic() + READY_HINT_S
        self._worker_ends_well_with = (0,)
        self._show_log()
        assert self._broker is not None
        self._say(guide(plan, broker_port=self._broker_port, broker_pid=self._broker.pid, worker_pid=self._worker.pid))

    def _pause(self) -> None:
        """Wait a moment and show what the worker says. Raises StopRequested, ChildEnded."""
        asked = self._signals.wait(POLL_S)
        if asked:
            raise StopRequested(asked[0].name)
        self._show_log()
        for child in (self._worker, self._broker):
            if child is not None and child.status is not None:
                raise ChildEnded(f"The {child.name} ended by itself: {child.ending()}.{child.quoted_log()}")

    def _stop(self, *, after_failure: bool = False) -> int:
        """Stop the worker, then the broker. Returns 0 where both had time to finish what they do at the end."""
        well = True
        worker, broker = self._worker, self._broker
        if worker is not None and worker.running:
            self._say("The worker finishes what it has, for up to 30 s; Ctrl-C again ends it at once ...")
            # Without a broker there is nothing that it could still bring home.
            deadline_s = WORKER_STOP_S if broker is not None and broker.running else 5.0
            well &= self._end(worker, deadline_s) and worker.status in self._worker_ends_well_with
            if not well and not after_failure:
                self._say(f"The worker did not stop well: {worker.ending()}.{worker.quoted_log()}")
        if broker is not None and broker.running:
            well &= self._end(broker, BROKER_STOP_S, slow_after_s=2.0) and broker.status in (0, -signal.SIGTERM)
            if not well and broker.status == -signal.SIGKILL:
                self._say("The broker was killed while it wrote its data: its newest records may be lost.")
        self._say(f"Stopped. The data is kept in {shown(self._plan.directory)}; `make run` goes on from there.")
        return 0 if well else 1

    def _end(self, child: Child, deadline_s: float, slow_after_s: float = 1e9) -> bool:
        """SIGTERM and wait. False when it had to be killed: after the deadline, or as somebody was impatient."""
        child.terminate()
        began, waited_s = time.monotonic(), 0.0
        while child.running:
            # A wish came when the waiting for it began, at the earliest: it may be noticed long after a double tap.
            impatient = bool(self._signals.wait(POLL_S)) and waited_s > DOUBLE_TAP_S
            waited_s = time.monotonic() - began
            self._show_log()
            if waited_s > slow_after_s:
                slow_after_s = 1e9
                self._say(f"The {child.name} is writing its data; Ctrl-C again ends it at once.")
            if impatient or waited_s > deadline_s:
                child.kill()
                return False
        self._show_log()
        return True

    def _show_log(self) -> None:
        if self._calm is not None:
            for line in self._calm.read():
                self._say(f"  worker {line}")


def _by(port: int) -> str:
    who = listener(port)
    return f" by {who}" if who else ""


def _another(port: int) -> int:
    return next((other for other in range(WEB_PORT, WEB_PORT + 100) if other != port and is_free(other)), free_port())


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:  # the terminal is gone: the children are to be stopped well all the same
        sys.stdout = None
