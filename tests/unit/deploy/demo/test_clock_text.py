"""Times as Tomcat writes them, in any zone and any language."""

from __future__ import annotations

import time

import pytest

from deploy.demo.clock_text import access_log_time, catalina_time, file_date

NOON_S = 1_795_262_400.987  # 2026-11-21 12:00:00.987 UTC


@pytest.fixture
def zone(monkeypatch):
    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.delenv("TZ", raising=False)
    time.tzset()


@pytest.mark.parametrize(
    ("name", "access", "catalina", "date"),
    [
        ("UTC", "[21/Nov/2026:12:00:00 +0000]", "21-Nov-2026 12:00:00.987", "2026-11-21"),
        ("IST-5:30", "[21/Nov/2026:17:30:00 +0530]", "21-Nov-2026 17:30:00.987", "2026-11-21"),
        ("XXX+3:30", "[21/Nov/2026:08:30:00 -0330]", "21-Nov-2026 08:30:00.987", "2026-11-21"),
        ("NZT-13", "[22/Nov/2026:01:00:00 +1300]", "22-Nov-2026 01:00:00.987", "2026-11-22"),
    ],
)
def test_local_time_with_its_zone(zone, name, access, catalina, date):
    zone(name)
    assert access_log_time(NOON_S) == access
    assert catalina_time(NOON_S) == catalina
    assert file_date(NOON_S) == date


def test_every_month_has_its_english_name(zone):
    zone("UTC")
    months = [access_log_time(time.mktime((2026, month, 1, 0, 0, 0, 0, 0, 0)))[4:7] for month in range(1, 13)]
    assert months == ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
