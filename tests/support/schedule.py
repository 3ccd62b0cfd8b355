"""Faults in random order, drawn by a seed: what is broken when and for how long, kept as a timeline to be read."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")  # what faults are injected into

_POLL_S = 0.05
_GAP_S = (0.5, 5.0)  # between one fault and the next


class Fault(NamedTuple, Generic[T]):
    """Something that breaks and comes back.

    `inject` breaks it, says to whom, and gives what heals it. Two faults of one `area` never overlap.
    """

    name: str
    area: str
    hold_s: tuple[float, float]  # from injecting to healing
    inject: Callable[[T, random.Random], tuple[str, Callable[[], None]]]


class Timeline:
    """What was done when. Each line is in the file at once, so that it is there whatever happens next."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._began = time.monotonic()

    def note(self, what: str) -> None:
        """Add a line, with the time of day for comparing with logs, and seconds since the beginning."""
        with self.path.open("a") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._began:7.1f} s  {what}\n")

    def __str__(self) -> str:
        return self.path.read_text() if self.path.exists() else ""


class _Active(NamedTuple, Generic[T]):
    fault: Fault[T]
    target: str
    began: float
    ends: float
    heal: Callable[[], None]


def draw(faults: Sequence[Fault[T]], rng: random.Random, count: int) -> list[Fault[T]]:
    """So many faults in random order; each one once before any comes again."""
    drawn: list[Fault[T]] = []
    while len(drawn) < count:
        drawn += rng.sample(faults, len(faults))
    return drawn[:count]


def run(faults: Sequence[Fault[T]], bed: T, rng: random.Random, timeline: Timeline, *, at_once: int = 2) -> None:
    """Inject them in their order, at most `at_once` at a time, and return when the last one is healed.

    The order, targets and lengths are the generator's, so those of its seed. Raises what a fault raises, with those
    that hold then not healed.
    """
    waiting = list(faults)
    active: list[_Active[T]] = []
    next_at = time.monotonic()
    while waiting or active:
        for due in [each for each in active if each.ends <= time.monotonic()]:
            active.remove(due)
            now = time.monotonic()
            due.heal()
            healed = time.monotonic()
            timeline.note(
                f"healed    {due.fault.name} ({due.target}) after {now - due.began:.1f} s, in {healed - now:.1f} s"
            )
        areas = {each.fault.area for each in active}
        now = time.monotonic()
        if waiting and now >= next_at and len(active) < at_once and waiting[0].area not in areas:
            fault = waiting.pop(0)
            hold_s = rng.uniform(*fault.hold_s)
            target, heal = fault.inject(bed, rng)
            began = time.monotonic()
            timeline.note(f"injected  {fault.name} ({target}) for {hold_s:.1f} s, in {began - now:.1f} s")
            active.append(_Active(fault, target, began, began + hold_s, heal))
            next_at = began + rng.uniform(*_GAP_S)
        time.sleep(_POLL_S)
