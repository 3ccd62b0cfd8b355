"""Well and ready."""

from __future__ import annotations

from app.health import Check, HealthReport


def test_ready_is_every_check_and_well_every_vital_one() -> None:
    report = HealthReport([Check("process", True, vital=True), Check("tables", False, "raw-log[1] is recovering")])

    assert (report.well, report.ready) == (True, False)
    assert report.reasons == ["tables: raw-log[1] is recovering"]


def test_not_well_without_what_is_vital() -> None:
    report = HealthReport([Check("process", False, vital=True)])

    assert (report.well, report.ready, report.reasons) == (False, False, ["process"])


def test_json_lists_every_check() -> None:
    report = HealthReport([Check("brokers", True, "reachable"), Check("tables", False, "recovering")])

    assert report.json(ok=report.ready) == {
        "status": "unavailable",
        "reasons": ["tables: recovering"],
        "checks": {
            "brokers": {"ok": True, "detail": "reachable"},
            "tables": {"ok": False, "detail": "recovering"},
        },
    }
