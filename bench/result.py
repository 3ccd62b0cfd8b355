"""One measured run, and the table that runs make: Sluice, its peers in the same run, and the limit of the path."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["sluice", "peer", "limit"]
HEADER = (
    "| case | load | Sluice | CPU µs | peak MB | p50 / p99 ms | peers, and Sluice against them | share of limits |",
    "| --- | --- | ---: | ---: | ---: | ---: | --- | --- |",
)


@dataclass(frozen=True)
class Result:
    """What one run of one program showed."""

    case: str
    load: str  # those that are compared have the same; empty for a limit of all loads of the case
    kind: Kind
    who: str
    per_s: float  # once warm: start-up is not in it, unless the case says so
    unit: str
    cpu_us: float  # of the program, for each of what the rate counts; start-up as with the rate
    peak_mb: float  # largest resident memory of a process; 0 where it tells nothing
    note: str  # what was counted
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True)
class _Median:
    """All rounds of one program with one load."""

    first: Result
    per_s: float
    range_per_s: tuple[float, float]
    cpu_us: float
    peak_mb: float  # the largest
    p50_ms: float | None
    p99_ms: float | None


def rows(results: Iterable[Result]) -> list[str]:
    """The lines of a Markdown table, one for each case, load and variant of Sluice; medians over the rounds."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.case, result.load, result.who), []).append(result)
    medians = [_median(runs) for runs in groups.values()]
    return [*HEADER, *(_row(each, medians) for each in medians if each.first.kind == "sluice")]


def _row(ours: _Median, medians: Sequence[_Median]) -> str:
    case, load = ours.first.case, ours.first.load
    beside = [each for each in medians if each.first.case == case and each.first.load in (load, "")]
    peers = "; ".join(f"{_told(each)}: {_ratios(ours, each)}" for each in beside if each.first.kind == "peer")
    limits = "; ".join(
        f"{each.first.who} {_rate(each)}, {each.cpu_us:.1f} µs: {ours.per_s / each.per_s:.2f} ×"
        for each in beside
        if each.first.kind == "limit"
    )
    name = f"{case}: {ours.first.who}"
    return (
        f"| {name} | {load} | {_rate(ours)} | {ours.cpu_us:.1f} | {ours.peak_mb:.0f} | {_latency(ours, ' / ')} "
        f"| {peers} | {limits} |"
    )


def _told(peer: _Median) -> str:
    latency = f", {_latency(peer, ' / ')} ms" if peer.p99_ms is not None else ""
    return f"{peer.first.who} {_rate(peer)}, {peer.cpu_us:.1f} µs, {peer.peak_mb:.0f} MB{latency}"


def _ratios(ours: _Median, peer: _Median) -> str:
    return f"**{ours.per_s / peer.per_s:.1f} ×** the rate, {ours.cpu_us / peer.cpu_us:.2f} × the CPU"


def _rate(each: _Median) -> str:
    low, high = each.range_per_s
    return f"{each.per_s:,.0f} {each.first.unit}" + (f" ({low:,.0f} to {high:,.0f})" if high > low else "")


def _latency(each: _Median, between: str) -> str:
    return between.join(f"{ms:,.0f}" for ms in (each.p50_ms, each.p99_ms) if ms is not None)


def _median(runs: Sequence[Result]) -> _Median:
    rates = [each.per_s for each in runs]
    return _Median(
        runs[0],
        statistics.median(rates),
        (min(rates), max(rates)),
        statistics.median(each.cpu_us for each in runs),
        max(each.peak_mb for each in runs),
        _middle(each.p50_ms for each in runs),
        _middle(each.p99_ms for each in runs),
    )


def _middle(values: Iterable[float | None]) -> float | None:
    told = [value for value in values if value is not None]
    return statistics.median(told) if told else None
