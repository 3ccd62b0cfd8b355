"""The test support itself: skips fail, the browser shows pages, a worker's life is what its handle says."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from deploy.cluster.errors import StartFailed
from deploy.cluster.kafka import Kafka
from deploy.cluster.tomcat import Tomcat
from tests.support.hdfs import LiveHdfs
from tests.support.history_watch import HistoryWatch
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until, wait_until_async
from tests.support.proxy import Proxy
from tests.support.worker import ROOT, Workers

SKIPS = '''
"""Everything that pytest calls a skip or an expected failure."""
import pytest
def test_skipped(): pytest.skip("no time")
@pytest.mark.skipif(True, reason="not today")
def test_marked(): pass
@pytest.mark.xfail(strict=True)
def test_expected(): assert False
@pytest.fixture
def absent(): pytest.skip("no service")
def test_without_its_service(absent): pass
def test_passes(): pass
'''


def run_pytest(module: Path) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    done = subprocess.run([*command, str(module)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_no_test_is_skipped(tmp_path: Path) -> None:
    each = tmp_path / "test_each.py"
    each.write_text(SKIPS)
    assert " 2 failed, 1 passed, 2 errors " in run_pytest(each)

    whole = tmp_path / "test_whole.py"
    whole.write_text('"""A module that skips itself."""\nimport pytest\npytest.importorskip("no_such_module")\n')
    assert " 1 error " in run_pytest(whole)


async def test_waiting_ends_with_the_value_or_with_a_word_about_what_was_awaited() -> None:
    began = time.monotonic()
    assert wait_until(lambda: time.monotonic() - began > 0.1, 5, "a moment") is True
    with pytest.raises(AssertionError, match=r"waited 0\.3 s for: rain; the last answer was 0"):
        wait_until(lambda: 0, 0.1, "rain")

    async def broken() -> int:
        raise OSError("closed")

    with pytest.raises(AssertionError, match="for: an answer; the last answer was OSError"):
        await wait_until_async(broken, 0.1, "an answer", retry_on=OSError)
    with pytest.raises(OSError, match="closed"):
        await wait_until_async(broken, 0.1, "an answer")


@pytest.mark.browser
@pytest.mark.tomcat
def test_the_browser_shows_a_page_and_keeps_its_console(tomcat: Tomcat, browser: Chrome) -> None:
    browser.get(tomcat.url)
    assert browser.title == "Shop"
    assert "Welcome" in browser.find_element("tag name", "p").text

    browser.execute_script("fetch('/missing')")
    wait_until(lambda: "404" in str(browser.get_log("browser")), 5, "the 404 in the console")


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_starts_pauses_stops_and_starts_again(fresh_kafka: LiveKafka, worker: Workers) -> None:
    first = worker(broker=fresh_kafka.url)
    assert first.running
    assert first.get("/health").status_code == 200

    first.pause()
    with pytest.raises(OSError, match="timed out"):
        first.get("/health", timeout=1)
    first.cont()
    first.get_json("/health")
    first.stop()
    assert not first.running

    first.start()
    first.kill()
    assert not first.running


@pytest.mark.kafka
@pytest.mark.slow
def test_a_worker_that_does_not_start_is_quoted(fresh_kafka: LiveKafka, worker: Workers) -> None:
    with pytest.raises(StartFailed, match="SLUICE_WINDOW_S"):
        worker(broker=fresh_kafka.url, settings={"SLUICE_WINDOW_S": "soon"})


@pytest.mark.hdfs
@pytest.mark.slow
def test_the_watch_is_content_while_files_come_and_fires_when_one_changes_or_vanishes(hdfs: LiveHdfs) -> None:
    def changed(change: Callable[[str], object]) -> HistoryWatch:
        root = hdfs.new_path()
        hdfs.client.write(f"{root}/data/kept", b"one")
        with HistoryWatch(hdfs, root) as watch:
            looks = wait_until(lambda: watch.looks, 20, "the first look")
            change(f"{root}/data")
            wait_until(lambda: watch.looks > looks + 1, 20, "a look afterwards")
        return watch

    def commit(data: str) -> None:
        """As the history does it: a file that is written where it is seen has no length at first."""
        hdfs.client.write(f"{data}-new", b"two")
        hdfs.client.rename(f"{data}-new", f"{data}/new")

    changed(commit).judge()
    for harm in (
        lambda data: hdfs.client.write(f"{data}/kept", b"one", overwrite=True),  # the same bytes are another file
        lambda data: hdfs.client.delete(f"{data}/kept"),
        lambda data: hdfs.client.rename(f"{data}/kept", f"{data}/moved"),
    ):
        with pytest.raises(AssertionError, match=r"\d+ files under data/ changed, such as .*/data/kept: was"):
            changed(harm).judge()
    empty = hdfs.new_path()
    hdfs.client.makedirs(f"{empty}/data")
    with HistoryWatch(hdfs, empty) as watch, pytest.raises(AssertionError, match="no file was ever seen"):
        watch.judge()


@pytest.mark.kafka
@pytest.mark.slow
def test_whoever_comes_in_by_the_proxy_stays_behind_it(tmp_path: Path) -> None:
    proxy = Proxy()
    live = LiveKafka(Kafka(tmp_path, proxy_ports=[proxy.port]))
    try:
        live.service.start()
        proxy.start(live.service.ports_behind_proxies[0])
        live.create_topic("proxied")
        behind = LiveKafka(Kafka(tmp_path, ports=[proxy.port]))
        behind.produce("proxied", [b"through"])
        assert proxy.connections >= 2, "one to ask where the broker is, one to it"
        taken = proxy.connections
        assert [record.value for record in live.consume("proxied")] == [b"through"]
        assert proxy.connections == taken, "others go past it"
    finally:
        live.service.kill()
        proxy.close()
