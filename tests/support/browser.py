"""A real headless Chromium, driven by Selenium."""

from __future__ import annotations

import os
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from deploy.cluster.programs import chromedriver, chromium

# Without the flags about background work it looks for Google's hosts at every start, which takes its time offline.
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--window-size=1280,1000",
)


def start_chromium(profile: Path) -> Chrome:
    """A browser with an empty profile; `quit()` ends it. Its console is kept for `get_log("browser")`.

    Raises: ProgramMissing.
    """
    options = ChromeOptions()
    options.binary_location = chromium()
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(executable_path=chromedriver(), log_output=os.devnull))
