"""How far each consumer group is behind, as the brokers tell it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.brokers import Brokers, Position, all_of
from app.fresh import Fresh

MAX_AGE_S = 1.0  # many open dashboards ask the brokers once a second

Lag = Mapping[str, Mapping[str, Mapping[int, Position]]]  # group -> topic -> partition


class LagWatch:
    """The groups' positions, at most MAX_AGE_S old; right also while every worker stalls, as no worker is asked.

    `topics_of` gives for each group the topics that it reads.
    """

    def __init__(self, brokers: Brokers, topics_of: Mapping[str, Sequence[str]]) -> None:
        self._brokers = brokers
        self._topics_of = {group: list(topics) for group, topics in topics_of.items()}
        self._fresh = Fresh(self._ask, MAX_AGE_S)
        self.newest: Lag | None = None  # the last answer that there was

    @property
    def groups(self) -> list[str]:
        """The groups watched."""
        return list(self._topics_of)

    async def get(self) -> Lag:
        """Where every group is. Raises BrokersUnavailable, TopicMissing."""
        self.newest = await self._fresh.get()
        return self.newest

    async def _ask(self) -> Lag:
        pairs = [(group, topic) for group, topics in self._topics_of.items() for topic in topics]
        found = await all_of(*(self._brokers.positions(group, topic) for group, topic in pairs))
        answer: dict[str, dict[str, dict[int, Position]]] = {group: {} for group in self._topics_of}
        for (group, topic), positions in zip(pairs, found, strict=True):
            answer[group][topic] = positions
        return answer


def lag_json(lag: Lag) -> dict[str, Any]:
    """The contract's answer of /api/lag; `committed` is null where a group has never committed."""
    return {
        "groups": {
            group: {
                topic: {
                    str(partition): {"committed": at.committed, "end": at.end, "lag": at.lag}
                    for partition, at in positions.items()
                }
                for topic, positions in topics.items()
            }
            for group, topics in lag.items()
        }
    }


def total_lag(positions: Mapping[int, Position]) -> int:
    """Records that a group has still to read of one topic."""
    return sum(at.lag for at in positions.values())
