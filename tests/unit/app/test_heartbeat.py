"""What a worker says about itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.heartbeat import Rates, WorkerReport, new_worker_id
from telemetry.flow import Flow

REPORT = WorkerReport("w-1", "web-1", 17, "http://web-1:6066", ["monitor"], 1000, "0.1.0")


def test_a_report_comes_back_as_it_was() -> None:
    report = replace(REPORT, flows=[Flow("http", "source").snapshot()], partitions={"sluice-monitor": [0, 2]})

    assert WorkerReport.from_json(report.to_json()) == report


def test_hostile_text_in_an_error_does_not_stop_the_reports() -> None:
    flow = Flow("http", "source")
    flow.error("line \ud800 \x00 <script>")
    flow.notes["count"] = 2**80
    flow.notes["who"] = object()

    sent = WorkerReport.from_json(replace(REPORT, flows=[flow.snapshot()]).to_json())

    assert sent.flows[0]["last_error"] == "line ? \x00 <script>"


def test_what_only_a_newer_version_knows_is_ignored() -> None:
    assert WorkerReport.from_json(REPORT.to_json()[:-1] + b',"moods":["good"]}') == REPORT


@pytest.mark.parametrize(
    "value", [b"", b"x", b"[]", b"null", b"{}", b'{"worker": "w"}', REPORT.to_json().replace(b'"w-1"', b"3")]
)
def test_what_is_no_report_is_a_value_error(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"(?i)report|unexpected|input|json"):
        WorkerReport.from_json(value)


def test_rates_are_means_over_ten_seconds() -> None:
    rates, flow = Rates(), Flow("http", "source")
    shown = []
    for second in range(0, 31, 2):
        flow.received = 100 * second if second <= 20 else 2000
        shown.append(rates.added([flow.snapshot()], float(second))[0]["rates"]["received_per_s"])

    assert shown[0] == 0.0
    assert shown[1:11] == [100.0] * 10
    assert shown[-1] == 0.0


def test_rates_of_a_flow_that_appears_later_start_at_zero() -> None:
    rates, flow = Rates(), Flow("orders", "route")
    rates.added([], 0.0)
    flow.sent = 500

    assert rates.added([flow.snapshot()], 2.0)[0]["rates"] == {"received_per_s": 0.0, "sent_per_s": 0.0}


def test_worker_ids_differ() -> None:
    assert new_worker_id() != new_worker_id()
