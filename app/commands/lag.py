"""`lag`: how far each consumer group is behind, partition by partition."""

from __future__ import annotations

from typing import Any

from app.lag import Lag, lag_json, total_lag
from app.services import Services
from app.shell import NOT_WELL, WELL, ShellCommand, json_option, table


def register(app: Any, services: Services) -> None:
    """Add the command."""

    class lag(ShellCommand):
        """How far each consumer group is behind, by topic and partition, asked of the brokers.

        Exit status: 0 all groups are running, 1 one has records to read and no member, 3 no broker answers.
        """

        options = [json_option]  # noqa: RUF012

        async def answer(self, **_options: Any) -> int:
            found = await self.services.lag.get()
            idle = await _idle_and_behind(self.services, found)
            if self.as_json:
                self.show_json(lag_json(found))
            else:
                self.show(_table(found))
            for group in idle:
                self.fail(f"group {group} has records to read and no member: is a worker with its role running?")
            return NOT_WELL if idle else WELL

    lag.services = services


async def _idle_and_behind(services: Services, lag: Lag) -> list[str]:
    behind = [group for group, topics in lag.items() if any(total_lag(at) for at in topics.values())]
    return [group for group in behind if not (await services.brokers.group(group)).running]


def _table(lag: Lag) -> str:
    rows: list[list[object]] = []
    for group, topics in lag.items():
        for topic, positions in topics.items():
            rows += [[group, topic, partition, at.committed, at.end, at.lag] for partition, at in positions.items()]
            rows.append([group, topic, "all", None, None, total_lag(positions)])
    return table(["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG"], rows)
