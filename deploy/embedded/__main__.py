"""`python -m deploy.embedded`, which is what `make run` runs, from the checkout."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.launcher import Launcher
from deploy.embedded.plan import BROKER_PORT, CHECKOUT, WEB_PORT, Plan
from deploy.embedded.ports import LOOPBACK
from deploy.embedded.signals import Signals
from deploy.embedded.terminal import own_foreground


def port(text: str) -> int:
    """A TCP port. Raises ValueError."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run Sluice with its embedded broker until it is asked to stop. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.embedded",
        description="Run Sluice for trying it out: an embedded broker and one worker, until Ctrl-C.",
    )
    # As strings, so that a wrong one from the environment is told like one from the command line.
    parser.add_argument(
        "--web-port",
        type=port,
        default=os.environ.get("WEB_PORT", str(WEB_PORT)),
        help=f"where the web listens; WEB_PORT in the environment, else {WEB_PORT}",
    )
    parser.add_argument(
        "--web-host",
        default=os.environ.get("WEB_HOST", LOOPBACK),
        help=f"the web's address; WEB_HOST in the environment, else {LOOPBACK}",
    )
    parser.add_argument(
        "--broker-port",
        type=port,
        default=os.environ.get("BROKER_PORT", str(BROKER_PORT)),
        help=f"where the broker listens, if it is free; BROKER_PORT in the environment, else {BROKER_PORT}",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=os.environ.get("VAR_DIR", str(CHECKOUT / "var")),
        help="where data, history and logs are kept; VAR_DIR in the environment, else var",
    )
    given = parser.parse_args(arguments)
    plan = Plan(
        directory=given.directory.resolve(),
        web_port=given.web_port,
        web_host=given.web_host,
        broker_port=given.broker_port,
        environment=dict(os.environ),
    )
    with Signals() as signals, own_foreground():
        return Launcher(plan, signals).run()


if __name__ == "__main__":
    sys.exit(main())
