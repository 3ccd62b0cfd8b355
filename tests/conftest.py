"""Fixtures of the real services, and the rule that no test is skipped."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from selenium.webdriver import Chrome

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from deploy.cluster.tomcat import Tomcat
from streaming.stop_deadline import waiting
from tests.support.bed import Bed, Services, mount_small_disk, unmount
from tests.support.browser import start_chromium
from tests.support.hdfs import LiveHdfs, running
from tests.support.kafka import LiveKafka
from tests.support.schedule import Timeline
from tests.support.worker import Workers

# The same examples every time, on a machine that may be busy; `--hypothesis-profile explore` looks for new ones.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.register_profile("same", settings.get_profile("explore"), derandomize=True)
settings.load_profile("same")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKafka]:
    """A broker that all tests share: for tests with topic names of their own, which never stop it."""
    yield from _live_kafka(tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="module")
def fresh_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKafka]:
    """A broker that only this module uses, empty at first: for Sluice's own topics, and to be killed."""
    yield from _live_kafka(tmp_path_factory.mktemp("fresh-kafka"))


@pytest.fixture(scope="session")
def hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHdfs]:
    """An HDFS that all tests share: for tests that write below `hdfs.new_path()` and never stop it."""
    yield from _live_hdfs(tmp_path_factory.mktemp("hdfs"))


@pytest.fixture(scope="module")
def fresh_hdfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHdfs]:
    """An HDFS that only this module uses: to be stopped, killed, or put into safe mode."""
    yield from _live_hdfs(tmp_path_factory.mktemp("fresh-hdfs"))


@pytest.fixture(scope="session")
def tomcat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tomcat]:
    """A Tomcat with one `common` access log; a test that wants other valves makes its own Tomcat."""
    service = Tomcat(tmp_path_factory.mktemp("tomcat"))
    try:
        service.start()
        yield service
    finally:
        service.kill()


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Workers]:
    """Makes real workers: `worker(broker=fresh_kafka.url)` returns one that is ready. None outlives the test."""
    workers = Workers(tmp_path)
    try:
        yield workers
    finally:
        workers.kill()


def pytest_configure() -> None:
    """Let what tests start be interrupted: who runs the suite in the background has SIGINT ignored, down to there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and along which schedule tests break things; `make test-fault` gives them time."""
    group = parser.getgroup("faults")
    group.addoption(
        "--fault-minutes",
        type=float,
        default=0.0,
        help="Repeat each random schedule of faults for so long; once if not given.",
    )
    group.addoption(
        "--fault-seed", type=int, default=1, help="The seed of the first round; each next one has the next."
    )


def pytest_report_header(config: pytest.Config) -> str:
    """Say which schedules this run draws."""
    minutes, seed = config.getoption("--fault-minutes"), config.getoption("--fault-seed")
    return f"faults: --fault-seed {seed}, " + (f"{minutes:g} minutes of each" if minutes else "one short round of each")


@pytest.fixture
def fault_minutes(pytestconfig: pytest.Config) -> float:
    """How long tests may break things; 0 for the short form of each."""
    return float(pytestconfig.getoption("--fault-minutes"))


@pytest.fixture
def fault_seed(pytestconfig: pytest.Config) -> int:
    """The seed of all that is random in a test of faults."""
    return int(pytestconfig.getoption("--fault-seed"))


@pytest.fixture
def fault_schedule(fault_seed: int, fault_minutes: float) -> Iterator[random.Random]:
    """A random generator for each round of faults: one round, or as many as begin within `--fault-minutes`."""
    return _rounds(fault_seed, fault_minutes * 60)


def _rounds(seed: int, seconds: float) -> Iterator[random.Random]:
    """The seed of each round is printed, as pytest shows it with a failure; with it as --fault-seed it comes first."""
    end_at = time.monotonic() + seconds
    number = seed
    while number == seed or time.monotonic() < end_at:
        print(f"--fault-seed {number} repeats this round")
        yield random.Random(number)
        number += 1


@pytest.fixture(scope="session")
def _proxied_services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    services = Services(tmp_path_factory.mktemp("services"))
    try:
        services.start()
        yield services
    finally:
        services.close()


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    """What a test of faults did when; shown when the test fails."""
    return Timeline(tmp_path / "timeline.txt")


@pytest.fixture
def new_bed(_proxied_services: Services, tmp_path: Path, timeline: Timeline) -> Iterator[Callable[..., Bed]]:
    """Makes a deployment to break, empty and healed, for each round of a test; its arguments are settings."""
    made: list[tuple[Workers, Path]] = []

    def end_last() -> None:
        workers, disk = made[-1]
        workers.kill()
        unmount(disk)

    def new(**settings: object) -> Bed:
        if made:
            end_last()
        directory = tmp_path / f"round-{len(made)}"
        disk = directory / "small-disk"
        mount_small_disk(disk, 64)
        made.append((Workers(directory), disk))
        return Bed(_proxied_services, made[-1][0], disk, timeline, settings)

    try:
        yield new
    finally:
        if made:
            end_last()


@pytest.fixture(scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    browser = start_chromium(tmp_path_factory.mktemp("chromium"))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(_chromium: Chrome) -> Chrome:
    """A headless Chromium on an empty page, without cookies, its console empty."""
    _chromium.get("about:blank")
    _chromium.delete_all_cookies()
    _chromium.get_log("browser")
    return _chromium


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skips into failures, and show the logs of a failed test's workers."""
    report = yield
    if report.skipped:
        # An expected failure is a skip by another name.
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and no test of this project may be: {report.longrepr}"
    workers = getattr(item, "funcargs", {}).get("worker")
    timeline = getattr(item, "funcargs", {}).get("timeline")
    if report.failed and report.when == "call" and isinstance(timeline, Timeline):
        report.sections.append((f"faults, kept in {timeline.path}", str(timeline)))
    if report.failed and "Timeout (>" in report.longreprtext:  # pytest-timeout's words
        report.sections.append(("where tasks wait", "\n".join(waiting())))
    if report.failed and report.when == "call" and isinstance(workers, Workers):
        for made in workers.made:
            report.sections.append((f"end of the log of {made.directory.name}", made.log_tail()))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """A module that skips itself is a failure too."""
    report = yield
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and no test of this project may be: {report.longrepr}"
    return report


def _live_kafka(directory: Path) -> Iterator[LiveKafka]:
    live = LiveKafka(Kafka(directory))
    try:
        live.service.start()
        yield live
    finally:
        live.service.kill()
        for data in directory.glob("data-*"):  # the logs stay for who looks into a failure
            shutil.rmtree(data)


def _live_hdfs(directory: Path) -> Iterator[LiveHdfs]:
    return running(LiveHdfs(Hdfs(directory)), directory, "name", "data")
