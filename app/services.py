"""What views and commands are handed: everything they show or ask is reached from here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.brokers import Brokers
from app.cluster import Worker
from app.health import HealthReport
from app.lag import LagWatch
from config.routes import Routes
from config.settings import Settings
from tables.reader import Reader
from telemetry.flow import Flow


@dataclass(frozen=True)
class Services:
    """Built once in app/wiring.py; commands use what needs no running worker (settings, routes, brokers, lag)."""

    settings: Settings
    routes: Routes
    brokers: Brokers
    lag: LagWatch  # where the groups are, asked of the brokers
    workers: Callable[[], Sequence[Worker]]  # who is there, this one included: Cluster.workers
    readers: Callable[[], Sequence[Reader]]  # the windows' state, one a raw-log partition; reads are safe in threads
    health: Callable[[], HealthReport]  # what this worker knows of itself, without asking anybody
    flows: Sequence[Flow]  # this worker's own, for /metrics
    version: str
