"""`python -m deploy.demo`, which is what `make demo` runs: a Tomcat's logs for a running Sluice."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from deploy.demo.errors import DemoError
from deploy.demo.traffic import INSTANCES, Traffic, Wish
from deploy.embedded.terminal import own_foreground

CHECKOUT = Path(__file__).parents[2]


def positive(text: str) -> float:
    """A number above 0. Raises ValueError."""
    number = float(text)
    if not 0 < number < 1e6:
        raise ValueError
    return number


def whole(text: str) -> int:
    """A whole number above 0. Raises ValueError."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Send until Ctrl-C, or until there is enough. Returns 0 when every event was acknowledged."""
    wish = _wish(arguments)
    try:
        with own_foreground():
            return asyncio.run(_run(wish))
    except DemoError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before the handlers were in place
        return 0


async def _run(wish: Wish) -> int:
    traffic = Traffic(wish, _say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, traffic.stop)
    hosts = ", ".join(f"{service} on {host}" for service, host in INSTANCES)
    _say(f"Sending to {wish.url}, {wish.rate:g} events a second: {hosts}; the same lines are in {wish.directory}")
    if wish.events is None and wish.seconds is None:
        _say(f"Look at {wish.url}/ - a wave of traffic comes every 4 minutes, an incident every 3. Ctrl-C ends it.")
    all_acknowledged = await traffic.run()
    _say(f"{traffic.summary()}.")
    return 0 if all_acknowledged else 1


def _wish(arguments: Sequence[str] | None) -> Wish:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo", description="Send a realistic Tomcat's logs to a running Sluice, until Ctrl-C."
    )
    parser.add_argument(
        "--url",
        default=f"http://127.0.0.1:{os.environ.get('WEB_PORT', '6066')}",
        help="where Sluice's web is; else port WEB_PORT of the environment on this machine, else 6066",
    )
    parser.add_argument("--rate", type=positive, default=50.0, help="events a second on average, else 50")
    parser.add_argument("--events", type=whole, help="end after exactly so many events")
    parser.add_argument("--seconds", type=positive, help="end after so many seconds")
    parser.add_argument(
        "--directory", type=Path, default=CHECKOUT / "var" / "tomcat", help="where the log files go, else var/tomcat"
    )
    parser.add_argument("--seed", type=int, help="for the same traffic each time")
    given = parser.parse_args(arguments)
    return Wish(given.url.rstrip("/"), given.directory, given.rate, given.events, given.seconds, given.seed)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
