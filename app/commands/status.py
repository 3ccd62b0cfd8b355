"""`status`: who is running, what flows, how far behind, and what is wrong."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from app.cluster import Worker, merged_flows, read_workers
from app.errors import TopicMissing
from app.gaps import left_out_by_monitor, left_out_json, left_out_lines
from app.heartbeat import workers_topic
from app.lag import Lag, lag_json, total_lag
from app.services import Services
from app.shell import NOT_WELL, WELL, ShellCommand, escaped, json_option, table
from streaming.marker import Gap

# Of a changelog, to be read for gaps that were accepted: a second's work. `verify` has the time for any number.
MOST_RECORDS = 300_000
TROUBLED = ("failed", "backing off")
FLOW_COLUMNS = (
    *("FLOW", "KIND", "STATE", "RECEIVED", "ACCEPTED", "SENT", "IN SPOOL", "REJECTED", "PER S", "LAST EVENT"),
    "LAST ERROR",
)


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class status(ShellCommand):
        """Workers, flows, the lag of each group, and every problem there is.

        Gaps that were accepted for the monitor are listed; they are no problem. `verify` lists the history's, too.

        Exit status: 0 no problem, 1 a problem, 3 no broker answers.
        """

        options = [json_option]  # noqa: RUF012

        async def answer(self, **_options: Any) -> int:
            workers, lag = await _asked(self.services)
            app_id = self.services.settings.app_id
            left_out = await left_out_by_monitor(self.services.brokers, app_id, MOST_RECORDS)
            flows = merged_flows(workers)
            found = problems(workers, flows, lag, self.services.lag.groups)
            if self.as_json:
                self.show_json(
                    {
                        "status": "problems" if found else "ok",
                        "problems": found,
                        "workers": [worker.json() for worker in workers],
                        **flows,
                        **lag_json(lag),
                        "left_out": {f"{app_id}-monitor": None if left_out is None else left_out_json(left_out)},
                    }
                )
            else:
                self.show(as_text(workers, flows, lag, found, gap_lines(f"{app_id}-monitor", left_out)))
            return NOT_WELL if found else WELL

    status.services = services


async def _asked(services: Services) -> tuple[list[Worker], Lag]:
    try:
        workers = await read_workers(services.brokers, workers_topic(services.settings.app_id))
    except TopicMissing:
        workers = []
    try:
        lag = await services.lag.get()
    except TopicMissing:
        lag = {}
    return workers, lag


def problems(
    workers: Sequence[Worker], flows: Mapping[str, Sequence[Mapping[str, Any]]], lag: Lag, groups: Sequence[str]
) -> list[str]:
    """Every problem as one line, the gravest first; empty when all is well."""
    alive = [worker for worker in workers if worker.alive]
    if not alive:
        return ["no worker is running: start one with `faust -A app worker`"]
    found = [
        f"worker {worker.report.worker} has not been heard of for {worker.silent_s:.0f} s"
        for worker in workers
        if not worker.alive
    ]
    for worker in alive:
        if not worker.report.ready:
            found.append(
                f"worker {worker.report.worker} is not ready: {'; '.join(worker.report.reasons) or 'starting'}"
            )
    for kind, each in flows.items():
        found += [
            f"{kind.removesuffix('s')} {flow['name']} is {flow['state']}: {flow['last_error'] or 'no error given'}"
            for flow in each
            if flow["state"] in TROUBLED
        ]
    if not lag:
        found.append("the topic raw-log does not exist yet")
    served = {group for worker in alive for group, partitions in worker.report.partitions.items() if partitions}
    for group in groups:
        records = sum(total_lag(positions) for positions in lag.get(group, {}).values())
        if records and group not in served:
            found.append(f"group {group} is {records:,} records behind and no worker reads for it")
    return found


def as_text(
    workers: Sequence[Worker],
    flows: Mapping[str, Sequence[Mapping[str, Any]]],
    lag: Lag,
    found: Sequence[str],
    gaps: Sequence[str] = (),
) -> str:
    """All of it for people."""
    parts = []
    if workers:
        parts.append(
            table(
                ["WORKER", "ALIVE", "READY", "ROLES", "WEB", "PARTITIONS", "VERSION"],
                [
                    [
                        worker.report.worker,
                        worker.alive,
                        worker.report.ready,
                        ",".join(map(str, worker.report.roles)),
                        worker.report.web or "-",
                        " ".join(f"{group}:{len(own)}" for group, own in worker.report.partitions.items()) or "-",
                        worker.report.version,
                    ]
                    for worker in workers
                ],
            )
        )
    rows = [
        [
            flow["name"],
            kind.removesuffix("s"),
            flow["state"],
            flow["received"],
            flow["accepted"] if kind == "sources" else "-",
            flow["sent"],
            flow["in_spool"],
            sum(flow["rejected"].values()),
            flow["rates"]["received_per_s"],
            _instant(flow["last_event_at_ms"]),
            escaped(flow["last_error"] or "-", 60),
        ]
        for kind, each in flows.items()
        for flow in each
    ]
    if rows:
        parts.append(table(FLOW_COLUMNS, rows))
    parts += [_spooled(flow) for flow in flows["destinations"] if flow["in_spool"] and flow["oldest_in_spool_at_ms"]]
    if lag:
        parts.append(
            table(
                ["GROUP", "TOPIC", "PARTITIONS", "LAG"],
                [
                    [group, topic, len(positions), total_lag(positions)]
                    for group, topics in lag.items()
                    for topic, positions in topics.items()
                ],
            )
        )
    if gaps:
        parts.append("\n".join(escaped(line) for line in gaps))
    if found:
        parts.append("\n".join(["Problems:", *(f"  {escaped(problem)}" for problem in found)]))
    else:
        parts.append("All is well.")
    return "\n\n".join(parts)


def gap_lines(group: str, left_out: Mapping[int, Sequence[Gap]] | None) -> list[str]:
    """What is told of accepted gaps; None where they were not looked for."""
    if left_out is None:
        return [
            f"The changelog of {group} is too long to look for accepted gaps here: `faust -A app verify` lists them."
        ]
    return left_out_lines(group, left_out)


def _spooled(flow: Mapping[str, Any]) -> str:
    age_s = max(0.0, time.time() - flow["oldest_in_spool_at_ms"] / 1000)
    return (
        f"{flow['in_spool']:,} events ({flow['in_spool_bytes']:,} bytes) are in local spools for Kafka, "
        f"the oldest for {age_s:.0f} s."
    )


def _instant(at_ms: int | None) -> str:
    return datetime.fromtimestamp(at_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S") if at_ms else "-"
