"""Troubles are counted always and logged once a minute."""

from __future__ import annotations

import pytest

from sources.once import Troubles
from telemetry.flow import Flow


def test_counts_each_and_logs_each_reason_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    flow = Flow("syslog", "source")
    troubles = Troubles(flow, lambda: now[0])
    for _ in range(1000):
        troubles.note("idle", "from 10.0.0.1")
    troubles.note("garbage")
    assert flow.notes["troubles"] == {"idle": 1000, "garbage": 1}
    assert [record.getMessage() for record in caplog.records] == [
        "Trouble at a source: source=syslog reason=idle new=1 in_all=1: from 10.0.0.1",
        "Trouble at a source: source=syslog reason=garbage new=1 in_all=1",
    ]
    now[0] += 61
    troubles.note("idle", "again", times=5)
    assert caplog.records[-1].getMessage().endswith("reason=idle new=1004 in_all=1005: again")
    assert len(caplog.records) == 3


def test_what_a_client_sends_cannot_play_with_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Troubles(Flow("syslog", "source")).note("garbage", "\x1b[31m\nERROR \ud800" + "x" * 10_000)
    message = caplog.records[0].getMessage()
    assert message.isprintable()
    assert len(message) < 400


def test_a_flow_without_troubles_has_no_note() -> None:
    flow = Flow("syslog", "source")
    Troubles(flow)
    assert flow.notes == {}
