"""`python -m bench [CASE ...]`: run cases and print a table; the machine must have nothing else to do.

Programs that are compared take turns: round after round, each in the same order, on services that are as fresh.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench.cases import CASES
from bench.result import Result, as_json, rows


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument(
        "--rounds", type=int, default=2, help="how often each case is run (default 2); medians are shown"
    )
    parser.add_argument("--short", action="store_true", help="one round of a small load: does the harness work?")
    parser.add_argument("--json", type=Path, help="write every single run to this file")
    asked = parser.parse_args()
    unknown = set(asked.case) - set(CASES)
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}; the cases are {', '.join(CASES)}")
    results: list[Result] = []
    for name in asked.case or CASES:
        for number in range(1 if asked.short else asked.rounds):
            with tempfile.TemporaryDirectory(prefix=f"sluice-bench-{name}-") as directory:
                for result in CASES[name](Path(directory), asked.short):
                    results.append(result)
                    print(
                        f"{name} {number + 1}: {result.who}, {result.load}: {result.per_s:,.0f} {result.unit}, "
                        f"{result.cpu_us:.1f} µs CPU, {result.peak_mb:.0f} MB; {result.note}",
                        file=sys.stderr,
                        flush=True,
                    )
            if asked.json is not None:
                asked.json.write_text(json.dumps(as_json(results), indent=1))
    print("\n".join(rows(results)))


if __name__ == "__main__":
    main()
