"""Fixtures of the real services, and the rule that no test is skipped."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from deploy.cluster.hdfs import Hdfs
from deploy.cluster.kafka import Kafka
from deploy.cluster.tomcat import Tomcat
from tests.support.browser import start_chromium
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.worker import Workers


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


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long and along which schedule tests break things; `make test-fault` gives them time."""
    group = parser.getgroup("faults")
    group.addoption(
        "--fault-minutes",
        type=float,
        default=0.0,
        help="Repeat each random schedule of faults for so long; once if not given.",
    )
    group.addoption("--fault-seed", type=int, default=1, help="The schedules' seed.")


@pytest.fixture
def fault_schedule(pytestconfig: pytest.Config) -> Iterator[random.Random]:
    """A random generator for each round of faults: one round, or as many as begin within `--fault-minutes`."""
    return _rounds(pytestconfig.getoption("--fault-seed"), pytestconfig.getoption("--fault-minutes") * 60)


def _rounds(seed: int, seconds: float) -> Iterator[random.Random]:
    end_at = time.monotonic() + seconds
    number = 0
    while number == 0 or time.monotonic() < end_at:
        yield random.Random(seed * 1000 + number)
        number += 1


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
        live.close()
        live.service.kill()
        for data in directory.glob("data-*"):  # the logs stay for who looks into a failure
            shutil.rmtree(data)


def _live_hdfs(directory: Path) -> Iterator[LiveHdfs]:
    live = LiveHdfs(Hdfs(directory))
    try:
        live.service.start()
        yield live
    finally:
        live.close()
        live.service.kill()
        for data in ("name", "data"):
            shutil.rmtree(directory / data, ignore_errors=True)
