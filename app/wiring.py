"""What runs in which role: everything of a worker is built and registered here, by name.

Building opens no connection and no file but the routes: commands use the same application as workers.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from agents.access_log import AccessLog
from agents.business_log import BusinessLog
from agents.monitor import PartitionMonitor
from agents.outcome import Outcome
from agents.route import Route
from app.brokers import Brokers
from app.cluster import Cluster
from app.commands import accept_gap as accept_gap_command
from app.commands import dead_letters as dead_letters_command
from app.commands import lag as lag_command
from app.commands import replay as replay_command
from app.commands import routes as routes_command
from app.commands import settings as settings_command
from app.commands import status as status_command
from app.commands import verify as verify_command
from app.commands import worker as worker_command
from app.health import HealthReport
from app.heartbeat import Heartbeat, WorkerReport, new_worker_id, workers_topic
from app.history import HistoryFlow, HistoryParts
from app.intake import Intake
from app.lag import LagWatch
from app.pipeline import Pipeline, WindowState
from app.services import Services
from app.topics import RAW_LOG, changelog_topic, topic_specs
from app.views import api, dashboard, health, ingest, metrics
from config.errors import ConfigError
from config.routes import Routes, load
from config.settings import Settings
from parsers.tomcat import compile_pattern
from sources.producer import GroupCommitProducer
from streaming import compression, event_loop
from streaming.app import BatchApp
from streaming.changelog import Follower
from streaming.exactly_once import ExactlyOnceHandler
from streaming.store import Reader, Store
from streaming.web_app import WebApp
from telemetry.flow import Flow

COMMANDS = (
    status_command,
    lag_command,
    routes_command,
    replay_command,
    accept_gap_command,
    verify_command,
    dead_letters_command,
    settings_command,
    worker_command,
)
LANES_CLOSE_WITHIN_S = 15.0


def build_or_exit() -> WebApp:
    """Build the application from the environment; a wrong setting or route ends the process with one line for each."""
    try:
        settings = Settings.from_env(os.environ)
        routes = load(settings.routes, check_pattern=compile_pattern)
    except ConfigError as exc:
        sys.exit("\n".join(("Sluice does not start:", *exc.problems)))
    return build(settings, routes)


def build(settings: Settings, routes: Routes) -> WebApp:
    """Everything a worker and the shell consist of."""
    event_loop.install()
    compression.install()
    app = WebApp(settings.app_id, broker=settings.bootstrap_servers)
    monitor_flows = {
        route.topic: Flow(route.topic, "route") for route in (routes.access_log, *routes.business) if route
    }
    history_flow = HistoryFlow()
    http_flow, kafka_flow = Flow("http", "source", notes=app.web_notes), Flow(RAW_LOG, "destination")
    flows: list[Flow] = []

    intake = None
    if "ingest" in settings.roles:
        producer = GroupCommitProducer(
            settings.bootstrap_servers,
            RAW_LOG,
            max_waiting_bytes=settings.ingest_max_bytes,
            client_id=f"{settings.app_id}-ingest",
            flow=kafka_flow,
        )
        intake = Intake(settings, routes.sources, producer, flows)
        ingest.register(app, producer, settings, http_flow, intake.publish(settings.reliability, http_flow))
        flows.append(kafka_flow)
    if "monitor" in settings.roles:
        flows += monitor_flows.values()
    if "history" in settings.roles:
        flows.append(history_flow)

    brokers = Brokers(settings.bootstrap_servers)
    state = WindowState(
        lambda: Store(settings.data_dir / "tables"),
        lambda store, partitions: Follower(
            settings.bootstrap_servers, changelog_topic(settings.app_id), partitions, store
        ),
    )

    def new_apps(follower: Follower) -> list[BatchApp]:
        apps = []
        if "monitor" in settings.roles:
            apps.append(monitor_app(settings, routes, follower, monitor_flows))
        if "history" in settings.roles:
            apps.append(history_app(settings, brokers, history_flow))
        return apps

    groups = {f"{settings.app_id}-monitor": [RAW_LOG], f"{settings.app_id}-history": [RAW_LOG]}
    worker, started_at_ms = new_worker_id(), int(time.time() * 1000)

    def report() -> WorkerReport:
        said = HealthReport(pipeline.checks())
        for flow in monitor_flows.values():
            flow.state = pipeline.state_of(f"{settings.app_id}-monitor")
        return WorkerReport(
            worker=worker,
            host=worker.rsplit("-", 2)[0],
            pid=os.getpid(),
            web=str(app.conf.canonical_url) if app.conf.web_enabled else "",
            roles=list(settings.roles),
            started_at_ms=started_at_ms,
            version=sluice_version(),
            flows=[flow.snapshot() for flow in flows],
            partitions=pipeline.partitions(),
            ready=said.ready,
            reasons=said.reasons,
        )

    heartbeat = Heartbeat(settings.bootstrap_servers, workers_topic(settings.app_id), report)
    cluster = Cluster(brokers, workers_topic(settings.app_id), lambda: heartbeat.latest or heartbeat.report())
    pipeline = Pipeline(
        servers=settings.bootstrap_servers,
        specs=topic_specs(settings, routes),
        intake=intake,
        state=state,
        raw_log=RAW_LOG,
        reporting=[heartbeat, cluster],
        new_apps=new_apps,
    )

    def readers() -> Sequence[Reader]:
        store = state.store
        return [store.partition(number) for number in range(state.partitions)] if store is not None else []

    services = Services(
        settings=settings,
        routes=routes,
        brokers=brokers,
        lag=LagWatch(brokers, groups),
        workers=cluster.workers,
        readers=readers,
        health=lambda: HealthReport(pipeline.checks()),
        flows=flows,
        version=sluice_version(),
    )
    for view in (health, metrics, api, dashboard):
        view.register(app, services)
    for command in COMMANDS:
        command.register(app, services)
    app.services.append(pipeline)
    app.unfinished = pipeline.held
    return app


def monitor_app(settings: Settings, routes: Routes, follower: Follower, flows: dict[str, Flow]) -> BatchApp:
    """The group `<id>-monitor`: raw-log parsed, routed and windowed, exactly once."""
    group = f"{settings.app_id}-monitor"
    app = BatchApp(group, broker=settings.bootstrap_servers)
    monitored: list[Route] = [BusinessLog(route) for route in routes.business]
    if routes.access_log is not None:
        monitored.insert(0, AccessLog(routes.access_log))

    def new_monitor(partition: int, reader: Reader) -> PartitionMonitor:
        return PartitionMonitor(
            partition,
            monitored,
            reader,
            window_s=settings.window_s,
            retention_s=settings.retention_s,
            max_keys=settings.window_max_keys,
        )

    def count(outcome: Outcome, _records: Sequence[object]) -> None:
        for name, tally in outcome.tallies.items():
            tally.add_to(flows[name])

    app.lane_agent(
        "monitor",
        RAW_LOG,
        lambda tp: ExactlyOnceHandler(
            tp,
            group=group,
            changelog=changelog_topic(settings.app_id),
            bootstrap_servers=settings.bootstrap_servers,
            follower=follower,
            processor_factory=new_monitor,
            committed=app.committed,
            on_committed=count,
        ),
        offsets="lane",
        close_within_s=LANES_CLOSE_WITHIN_S,
    )
    return app


def history_app(settings: Settings, brokers: Brokers, flow: HistoryFlow) -> BatchApp:
    """The group `<id>-history`: every record of raw-log into exactly one committed file."""
    group = f"{settings.app_id}-history"
    app = BatchApp(group, broker=settings.bootstrap_servers)
    parts = HistoryParts(settings, brokers, group, flow)
    lanes = app.lane_agent("history", RAW_LOG, parts.new_handler, close_within_s=LANES_CLOSE_WITHIN_S, may_lag=True)
    flow.watch(lanes, parts)
    return app


@cache
def sluice_version() -> str:
    """The installed version; `unknown` in a checkout that was never installed. Read once: files may run out."""
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "unknown"
