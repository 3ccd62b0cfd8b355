"""`python -m deploy.cluster start|stop|status|prepare`: the real Kafka and HDFS of the tests, for a person to use."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from deploy.cluster.background import Addresses, BackgroundCluster
from deploy.cluster.errors import ClusterError
from deploy.cluster.fetch import PARTS, fetch
from deploy.cluster.programs import chromedriver, chromium, java, javac, maven, wrk

_HELP = "prepare: install the programs and fetch the parts that the tests need, and start nothing"
_DIRECTORY = Path(__file__).parents[2] / ".cluster"


def main() -> int:
    """Exit status: 0 when what was asked for is so now, 1 when it isn't."""
    parser = argparse.ArgumentParser(prog="python -m deploy.cluster", description=__doc__)
    parser.add_argument("command", choices=["start", "stop", "status", "prepare"], help=_HELP)
    command = parser.parse_args().command
    cluster = BackgroundCluster(_DIRECTORY)
    try:
        if command == "start":
            return _start(cluster)
        if command == "stop":
            return _stop(cluster)
        if command == "status":
            return _status(cluster)
        return _prepare()
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _start(cluster: BackgroundCluster) -> int:
    addresses = cluster.running()
    if addresses is None:
        print("Starting Kafka and HDFS; the first time they are fetched with Maven.", flush=True)
        addresses = cluster.start()
        print("Kafka and HDFS are ready.")
    else:
        print("Kafka and HDFS are running already.")
    _print_addresses(addresses)
    return 0


def _stop(cluster: BackgroundCluster) -> int:
    stopped = cluster.stop()
    print(f"Stopped the processes {', '.join(map(str, stopped))}." if stopped else "No cluster was running.")
    print(f"Its data stays in {_DIRECTORY.name}/ for the next start.")
    return 0


def _status(cluster: BackgroundCluster) -> int:
    addresses = cluster.running()
    if addresses is None:
        print("Kafka and HDFS are not running; start them with: make cluster")
        return 1
    _print_addresses(addresses)
    return 0


def _prepare() -> int:
    """Before the tests run, so that a missing program is one line and not the failure of many tests."""
    for needed in (java, javac, maven, wrk, chromium, chromedriver):
        needed()
    for part in PARTS:
        fetch(part)
    return 0


def _print_addresses(addresses: Addresses) -> None:
    print(
        f"""
  export SLUICE_BROKER='{addresses.broker}'
  export SLUICE_HISTORY='{addresses.history}'

With these two lines in the environment, a worker with every role, web on http://127.0.0.1:6066:

  .venv/bin/faust -A app worker -l info

Logs are in {_DIRECTORY.name}/kafka and {_DIRECTORY.name}/hdfs; stop both with: make cluster-stop"""
    )


if __name__ == "__main__":
    sys.exit(main())
