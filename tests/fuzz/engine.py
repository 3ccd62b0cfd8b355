"""Feeds a parser and judges it: only the errors that it documents, and never much time for one input."""

from __future__ import annotations

import gc
import re
import signal
import time
import traceback
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

from tests.fuzz.mutation import LONGEST, Mutator

MAX_CPU_S = 0.5
HANGS_AFTER_S = 10.0  # of CPU; the regular expression engine lets itself be interrupted
MOST_FINDINGS = 20

_FROM_INPUT = re.compile(r"\d+|'.*'|\".*\"")


class Target(NamedTuple):
    """A parser under test. `check` parses, asserts what must hold of the result, and names the outcome's kind.

    Any exception that leaves `check` is a finding: it catches those that the parser documents.
    """

    name: str
    samples: Sequence[bytes]
    check: Callable[[bytes], Hashable]
    words: Sequence[bytes] = ()
    max_bytes: int = LONGEST


class Finding(NamedTuple):
    """An input that the parser must not have: what happened, told once for each place in the code."""

    what: str
    data: bytes


class Report(NamedTuple):
    """What one run did."""

    target: str
    inputs: int
    seconds: float
    outcomes: int
    slowest_s: float
    findings: list[Finding]

    def line(self) -> str:
        """One line for the notes."""
        return (
            f"{self.target}: {self.inputs} inputs in {self.seconds:.0f} s ({self.inputs / self.seconds:.0f}/s), "
            f"{self.outcomes} kinds of outcome, slowest input {self.slowest_s * 1000:.0f} ms CPU, "
            f"{len(self.findings)} findings"
        )


class Hang(BaseException):
    """One input took longer than HANGS_AFTER_S. No Exception, so that no parser catches it."""


def fuzz(target: Target, seconds: float, seed: int) -> Report:
    """Feed `target` for so much CPU time: a machine that is busy otherwise makes no shorter run of it.

    In the main thread only: a timer interrupts what hangs.
    """
    mutator = Mutator(target.samples, seed, target.words, target.max_bytes)
    findings: dict[str, Finding] = {}
    outcomes: set[Hashable] = set()
    slowest_s = 0.0
    inputs = 0
    started, began = time.monotonic(), time.thread_time()
    pending = list(target.samples)
    with _interrupting():
        while (pending or time.thread_time() - began < seconds) and len(findings) < MOST_FINDINGS:
            data = pending.pop() if pending else mutator.next()
            inputs += 1
            signal.setitimer(signal.ITIMER_PROF, HANGS_AFTER_S)
            before = time.thread_time()
            try:
                outcome = target.check(data)
            except (Exception, Hang) as error:
                where = _where(error)
                findings.setdefault(where, Finding(f"{where}: {error!r:.300}", data))
                continue
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            took = time.thread_time() - before
            if took > MAX_CPU_S:
                took = min(took, _took_again(target, data))
            if took > MAX_CPU_S:
                findings.setdefault(f"slow {outcome}", Finding(f"{took:.2f} s CPU, outcome {outcome!r:.200}", data))
            slowest_s = max(slowest_s, took)
            if outcome not in outcomes and len(outcomes) < 100_000:
                outcomes.add(outcome)
                mutator.learn(data)
    return Report(target.name, inputs, time.monotonic() - started, len(outcomes), slowest_s, list(findings.values()))


def _took_again(target: Target, data: bytes) -> float:
    """The CPU time without what else may have been in it: the garbage of a whole test run, collected just then."""
    gc.collect()
    before = time.thread_time()
    target.check(data)
    return time.thread_time() - before


@contextmanager
def _interrupting() -> Iterator[None]:
    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {HANGS_AFTER_S:g} s CPU")

    before = signal.signal(signal.SIGPROF, interrupt)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def require(holds: bool) -> None:
    """An assertion about a refusal."""
    if not holds:
        raise AssertionError("a refusal is not as documented")


def outcome_of(error: Exception) -> str:
    """What kind of refusal it is: its text without what comes from the input."""
    return f"{type(error).__name__} {_FROM_INPUT.sub('#', str(error))[:60]}"


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}"
