"""`python -m bench [CASE ...]`: run cases and print a table; the machine must have nothing else to do.

Programs that are compared take turns: round after round, each in the same order, on the same broker and HDFS.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cases import CASES
from bench.machine import versions
from bench.result import Result, rows
from bench.services import Services


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what was asked for, or show what a file says of an earlier run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument("--rounds", type=int, default=2, help="how often each case is run (2); medians are shown")
    parser.add_argument("--short", action="store_true", help="one round of a small load: does the harness work?")
    parser.add_argument("--json", type=Path, help="write every single run to this file, while they are made")
    parser.add_argument("--markdown", type=Path, help="only print the table of such a file")
    asked = parser.parse_args(arguments)
    unknown = set(asked.case) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    if asked.markdown is not None:
        kept = json.loads(asked.markdown.read_text())
        _show(kept["versions"], [Result(**result) for result in kept["results"]])
        return
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
    on, results = versions(), []
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as directory:
        services = Services(Path(directory))
        try:
            for result in _run(services, asked.case or list(CASES), 1 if asked.short else asked.rounds, asked.short):
                results.append(result)
                if asked.json is not None:
                    asked.json.write_text(json.dumps({"versions": on, "results": list(map(asdict, results))}, indent=1))
        finally:
            services.close()
    _show(on, results)


def _run(services: Services, names: Sequence[str], rounds: int, short: bool) -> Iterator[Result]:
    began = time.monotonic()
    for name in names:
        case = CASES[name]
        most = min(rounds, case.most_rounds)
        for number in range(1, most + 1):
            _say(began, f"{name}, round {number} of {most}")
            for result in (case.short if short else case.long)(services):
                latency = f", p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms" if result.p99_ms else ""
                _say(
                    began,
                    f"  {result.case}, {result.who}, {result.load}: {result.per_s:,.0f} {result.unit}, "
                    f"{result.cpu_us:.1f} µs CPU, {result.peak_mb:.0f} MB{latency}; {result.note}",
                )
                yield result


def _say(began: float, what: str) -> None:
    minutes, seconds = divmod(int(time.monotonic() - began), 60)
    print(f"{minutes:3d}:{seconds:02d} {what}", file=sys.stderr, flush=True)


def _show(on: str, results: Sequence[Result]) -> None:
    print("\n".join([on, "", *rows(results)]))


if __name__ == "__main__":
    main()
