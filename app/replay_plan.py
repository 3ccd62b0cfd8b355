"""What a replay of the history writes where: kept in the other root, so that a second run continues the first."""

from __future__ import annotations

import posixpath
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from app.errors import RootInUse
from config.addresses import HistoryLocation
from sinks.history.errors import StorageRefused
from sinks.history.storage import Body, Storage

PLAN = "_sluice/replay.json"
COMMITS = "_sluice/commits"
DATA = "data"


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """One replay: what was asked for, and the offsets that it meant when it began, `stretches[partition] = first, end`.

    The ends stay what they were at the first run, however often it is interrupted.
    """

    topic: str
    asked: str  # the options in one line: a second run that asks for something else is another replay
    stretches: dict[int, tuple[int, int]]

    def to_json(self) -> bytes:
        """The content of PLAN."""
        return orjson.dumps(asdict(self), option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2)

    @classmethod
    def from_json(cls, content: bytes) -> ReplayPlan:
        """Raises ValueError for anything that is no plan."""
        try:
            said = orjson.loads(content)
            stretches = {int(p): (int(first), int(end)) for p, (first, end) in said["stretches"].items()}
            return cls(str(said["topic"]), str(said["asked"]), stretches)
        except (TypeError, KeyError, AttributeError) as exc:
            raise ValueError(f"not a plan of a replay: {exc}") from exc


def found_plan(storage: Storage, root: str, asked: str) -> ReplayPlan | None:
    """The plan that an earlier run has left for the same replay; None in a fresh root.

    Raises RootInUse for a root that holds something else: a history, or another replay. Raises the storage's errors.
    """
    content = storage.read(PLAN)
    if content is None:
        if storage.entries(COMMITS) or storage.entries(DATA):
            raise RootInUse(f"{root} already holds a history: a replay needs a root of its own")
        return None
    try:
        plan = ReplayPlan.from_json(content)
    except ValueError as exc:
        raise RootInUse(f"{root}/{PLAN} can't be read ({exc}): a replay needs a root of its own") from exc
    if plan.asked != asked:
        raise RootInUse(f"{root} holds another replay ({plan.asked}, not {asked}): give this one a root of its own")
    return plan


def keep_plan(storage: Storage, root: str, plan: ReplayPlan) -> None:
    """Write the plan down before anything else is written. Raises RootInUse when another replay was quicker."""
    uploaded = f"{PLAN}.{secrets.token_hex(4)}"
    storage.write(uploaded, Body([plan.to_json()]))
    try:
        storage.rename(uploaded, PLAN)
    except StorageRefused as exc:
        storage.delete(uploaded)
        raise RootInUse(f"another replay into {root} has just begun: run the same command again") from exc


def same_place(one: HistoryLocation, other: HistoryLocation) -> bool:
    """Whether a root is the other one, or lies within it, or holds it: their files must never meet."""
    if one.is_local != other.is_local:
        return False
    if one.is_local:
        paths = [location.directory.absolute().resolve() for location in (one, other)]
    else:
        if not set(one.hosts) & set(other.hosts):
            return False
        paths = [Path(posixpath.normpath(location.path)) for location in (one, other)]
    return paths[0] == paths[1] or paths[0] in paths[1].parents or paths[1] in paths[0].parents
