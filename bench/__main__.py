"""`python -m bench [CASE ...] [--short]`: run cases and print a table; the machine must have nothing else to do."""

from __future__ import annotations

import argparse

from bench.cases import CASES, run

COLUMNS = "| {:<10} | {:<38} | {:>18} | {:>9} | {:>7} | {}"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("case", nargs="*", choices=[[], *CASES], help=f"any of {', '.join(CASES)}; all without")
    parser.add_argument("--short", action="store_true", help="a fiftieth of the load: does the harness work?")
    asked = parser.parse_args()
    print(COLUMNS.format("case", "load", "rate", "us CPU", "peak MB", "checked"))
    for row in run(asked.case or list(CASES), short=asked.short):
        rate = f"{row.per_s:,.0f} {row.unit}"
        print(COLUMNS.format(row.case, row.load, rate, f"{row.cpu_us:.1f}", f"{row.peak_mb:.0f}", row.note), flush=True)


if __name__ == "__main__":
    main()
