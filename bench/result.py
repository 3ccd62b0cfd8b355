"""One measured run, and the table that runs make."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

SLUICE = "Sluice"
HEADER = (
    "| case | who | load | rate (median) | Sluice against it | CPU µs | peak MB | checked |",
    "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
)


@dataclass(frozen=True)
class Result:
    """What one run of one program showed."""

    case: str
    who: str
    load: str
    per_s: float  # once warm: start-up is not in it, unless the load says so
    unit: str
    cpu_us: float  # CPU of the program for each record, event or post, its start-up included
    peak_mb: float  # largest resident memory of a process, or their sum where several share the work
    note: str  # what was counted


def rows(results: Iterable[Result]) -> list[str]:
    """A line of a Markdown table for each case, load and program: medians over the rounds, and ratios to Sluice.

    `who` of a run of Sluice begins with its name; where there are several variants a peer is compared with each.
    """
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.case, result.load, result.who), []).append(result)
    medians = {key: statistics.median(each.per_s for each in runs) for key, runs in groups.items()}
    lines = list(HEADER)
    for (case, load, who), runs in groups.items():
        rate = medians[case, load, who]
        ours = {} if who.startswith(SLUICE) else _ours(medians, case, load)
        ratio = ", ".join(f"{name} {theirs / rate:.1f} x" for name, theirs in ours.items())
        cpu_us = statistics.median(each.cpu_us for each in runs)
        peak_mb = max(each.peak_mb for each in runs)
        shown = f"{rate:,.0f} {runs[0].unit}"
        lines.append(
            f"| {case} | {who} | {load} | {shown} | {ratio} | {cpu_us:.1f} | {peak_mb:.0f} | {runs[-1].note} |"
        )
    return lines


def _ours(medians: dict[tuple[str, str, str], float], case: str, load: str) -> dict[str, float]:
    return {who: rate for (a, b, who), rate in medians.items() if (a, b) == (case, load) and who.startswith(SLUICE)}


def as_json(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Every single run, for a file."""
    return [asdict(result) for result in results]
