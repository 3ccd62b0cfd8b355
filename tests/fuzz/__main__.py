"""`python -m tests.fuzz <parser>|all --minutes M --seed S [--keep DIRECTORY]`; exit status 1 with findings."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz.engine import fuzz
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz one parser, or all of them one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("parser", choices=["all", *TARGETS])
    parser.add_argument("--minutes", type=float, default=1.0, help="for each parser")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="write each input that was a finding into this directory")
    arguments = parser.parse_args()
    findings = 0
    for name in TARGETS if arguments.parser == "all" else [arguments.parser]:
        report = fuzz(TARGETS[name], arguments.minutes * 60, arguments.seed)
        print(report.line(), flush=True)
        for number, finding in enumerate(report.findings):
            print(f"  {finding.what}\n    {len(finding.data)} bytes: {finding.data[:200]!r}", flush=True)
            if arguments.keep is not None:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                (arguments.keep / f"{name}-{arguments.seed}-{number}").write_bytes(finding.data)
        findings += len(report.findings)
    return 1 if findings else 0


sys.exit(main())
