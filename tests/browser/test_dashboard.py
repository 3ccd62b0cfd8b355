"""The page in a real browser, fed by a real worker."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.browser, pytest.mark.kafka, pytest.mark.slow]

HOSTILE = "/<img/src=x/onerror=document.title='broken'>"
HOSTILE_LINE = "<img src=x onerror=\"document.title='broken'\"> \x1b[31m"


@pytest.fixture(scope="module")
def served(fresh_kafka: LiveKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    workers = Workers(tmp_path_factory.mktemp("dashboard"))
    try:
        yield workers(broker=fresh_kafka.url)
    finally:
        workers.kill()


def text(browser: Chrome, selector: str) -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def seen(condition: Callable[[], Any], what: str, deadline_s: float = 20) -> Any:
    return wait_until(condition, deadline_s, what, retry_on=(StaleElementReferenceException, NoSuchElementException))


def post(worker: Worker, *, requests: int, path: str = "/cart") -> None:
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    line = f'10.0.0.1 - - [{stamp}] "GET {path} HTTP/1.1" 200 100'
    events = [{"headers": {"type": "access_log", "service": "shop", "host": "web-1"}, "body": line}] * requests
    assert worker.post("/logCollect2", json.dumps(events), "application/json").status_code == 200


def quiet(browser: Chrome) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def test_an_empty_page_says_what_to_do(served: Worker, browser: Chrome) -> None:
    browser.get(served.url)

    seen(lambda: text(browser, "#connection") == "live", "the page to be live")
    seen(lambda: browser.find_element(By.ID, "empty").is_displayed(), "what to do")
    assert f"curl {served.url}/logCollect2" in text(browser, "#example")
    assert not browser.find_element(By.ID, "gone").is_displayed()
    assert quiet(browser) == []


def test_the_line_that_the_empty_page_offers_works(served: Worker, browser: Chrome) -> None:
    browser.get(served.url)
    seen(lambda: text(browser, "#example"), "the line")
    quoted = text(browser, "#example").split(' -d "', 1)[1].removesuffix('"').replace('\\"', '"').replace("\\\\", "\\")
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    body = quoted.replace("$(date '+%d/%b/%Y:%H:%M:%S %z')", stamp)

    assert served.post("/logCollect2", body, "application/x-www-form-urlencoded").status_code == 200
    seen(lambda: "/hello" in text(browser, "#paths"), "the request")


def test_numbers_move_after_a_post(served: Worker, browser: Chrome) -> None:
    browser.get(served.url)
    seen(lambda: text(browser, "#req-total") != "–", "the first numbers")
    before = int(text(browser, "#req-total").split()[0])

    post(served, requests=37)

    seen(lambda: int(text(browser, "#req-total").split()[0]) == before + 37, "37 more requests")
    seen(lambda: "shop" in text(browser, "#services"), "the service")
    assert not browser.find_element(By.ID, "empty").is_displayed()
    assert browser.find_elements(By.CSS_SELECTOR, "#chart-requests rect.ok")
    seen(lambda: "sluice-monitor" in text(browser, "#lag"), "the lag")
    seen(lambda: "access-log" in text(browser, "#flows"), "the flows")
    assert quiet(browser) == []


def test_hostile_logs_are_text(served: Worker, browser: Chrome) -> None:
    post(served, requests=500, path=HOSTILE)
    hostile = {"headers": {"type": "access_log", "service": HOSTILE_LINE, "host": "web-1"}, "body": HOSTILE_LINE}
    assert served.post("/logCollect2", json.dumps([hostile]), "application/json").status_code == 200
    browser.get(served.url)

    seen(lambda: HOSTILE in text(browser, "#paths"), "the path as it is")
    # Looked for together: the letters are drawn anew every three seconds, and what was found before is stale.
    shown = seen(lambda: (line := text(browser, "#letters pre")) and "<img src=x onerror=" in line and line, "the line")
    assert r"\x1b[31m" in shown
    assert browser.find_elements(By.CSS_SELECTOR, "main img") == []
    assert browser.title == "Sluice"
    assert quiet(browser) == []


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_screen(served: Worker, browser: Chrome, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    post(served, requests=1)
    try:
        browser.get(served.url)
        seen(lambda: "shop" in text(browser, "#services"), "the service")
        wide, shown = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= shown == width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


# Last: it takes the worker away.
def test_a_worker_that_goes_away_is_said_and_found_again(served: Worker, browser: Chrome) -> None:
    browser.get(served.url)
    seen(lambda: text(browser, "#connection") == "live", "the page to be live")
    seen(lambda: text(browser, "#req-total") != "–", "the first numbers")

    served.kill()
    seen(lambda: text(browser, "#connection") == "worker does not answer", "that it is away")
    assert browser.find_element(By.ID, "gone").is_displayed()
    assert text(browser, "#req-total") != "–", "what was there stays"

    served.start()
    seen(lambda: text(browser, "#connection") == "live", "the page to be live again")
    assert not browser.find_element(By.ID, "gone").is_displayed()
