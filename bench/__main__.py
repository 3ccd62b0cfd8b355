"""`python -m bench [CASE ...]`: run cases and print a table; the machine must have nothing else to do.

Programs that are compared take turns: round after round, each in the same order, on the same broker and HDFS.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.cases import CASES, Run
from bench.machine import versions
from bench.result import Result, rows
from bench.services import Services


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, or show what a file says of an earlier run. Returns 1 where a case failed."""
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
        return 0
    if asked.json is not None:
        asked.json.parent.mkdir(parents=True, exist_ok=True)
    on = versions()
    results: list[Result] = []
    progress = _Progress()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-", ignore_cleanup_errors=True) as directory:
        services = Services(Path(directory))
        try:
            for name, run in _turns(asked.case or list(CASES), asked.rounds, asked.short):
                for result in progress.follow(name, run(services)):
                    results.append(result)
                    if asked.json is not None:
                        asked.json.write_text(
                            json.dumps({"versions": on, "results": [*map(asdict, results)]}, indent=1)
                        )
        finally:
            services.close()
    _show(on, results)
    if progress.failed:
        print(f"failed: {', '.join(progress.failed)}", file=sys.stderr)
    return 1 if progress.failed else 0


def _turns(names: Sequence[str], rounds: int, short: bool) -> Iterator[tuple[str, Run]]:
    for name in names:
        case = CASES[name]
        if short:
            yield name, case.short
            continue
        most = min(rounds, case.most_rounds)
        for number in range(1, most + 1):
            yield f"{name}, round {number} of {most}", case.long


class _Progress:
    """Says what is going on, with the time since the start; a case that fails is shown, and the next one is run."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self._began = time.monotonic()

    def follow(self, name: str, results: Iterator[Result]) -> Iterator[Result]:
        """Hand on what a round brings."""
        self._say(name)
        try:
            for result in results:
                latency = f", p50 {result.p50_ms:.1f} ms, p99 {result.p99_ms:.1f} ms" if result.p99_ms else ""
                self._say(
                    f"  {result.case}, {result.who}, {result.load or 'any load'}: {result.per_s:,.0f} {result.unit}, "
                    f"{result.cpu_us:.1f} µs CPU, {result.peak_mb:.0f} MB{latency}; {result.note}"
                )
                yield result
        except Exception:
            traceback.print_exc()
            self.failed.append(name)

    def _say(self, what: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        print(f"{minutes:3d}:{seconds:02d} {what}", file=sys.stderr, flush=True)


def _show(on: str, results: Sequence[Result]) -> None:
    print("\n".join([on, "", *rows(results)]))


if __name__ == "__main__":
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())  # what is in the end an error is raised, too
    sys.exit(main())
