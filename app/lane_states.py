"""What a flow says of the lanes that feed it: the words of lanes in the words of flows, the worst first."""

from __future__ import annotations

from collections.abc import Collection

from telemetry.flow import State

NOT_RUNNING: dict[str, State] = {"failed": "failed", "backing off": "backing off", "opening": "recovering"}


def worst_of(lane_states: Collection[str]) -> State:
    """The state of a flow whose lanes are in these."""
    return next((told for state, told in NOT_RUNNING.items() if state in lane_states), "running")
