"""The table of benchmark runs: medians, ranges, ratios, and limits beside what they limit."""

from __future__ import annotations

import pytest

from bench.result import HEADER, Kind, Result, rows


def result(
    kind: Kind, who: str, per_s: float, *, load: str = "a lot", cpu_us: float = 10.0, peak_mb: float = 100.0
) -> Result:
    return Result("ingest", load, kind, who, per_s, "events/s", cpu_us, peak_mb, "all arrived", 2.0, per_s / 100)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_row_has_medians_and_the_range_and_the_largest_memory() -> None:
    runs = [result("sluice", "Sluice", rate, peak_mb=rate / 10) for rate in (3000, 1000, 2000)]
    (row,) = rows(runs)[len(HEADER) :]
    assert cells(row) == [
        "ingest: Sluice", "a lot", "2,000 events/s (1,000 to 3,000)", "10.0", "300", "2 / 20", "", "",
    ]  # fmt: skip


def test_every_variant_is_compared_with_every_peer_of_its_load() -> None:
    runs = [
        result("sluice", "Sluice", 2000, cpu_us=5),
        result("sluice", "Sluice, 2 processes", 3000, cpu_us=20),
        result("peer", "Flume", 1000),
        result("sluice", "Sluice", 500, load="little"),
    ]
    one, two, little = map(cells, rows(runs)[len(HEADER) :])
    assert one[6] == "Flume 1,000 events/s, 10.0 µs, 100 MB, 2 / 10 ms: **2.0 ×** the rate, 0.50 × the CPU"
    assert two[6].endswith("**3.0 ×** the rate, 2.00 × the CPU")
    assert little[6] == ""


@pytest.mark.parametrize(("load", "beside"), [("a lot", True), ("", True), ("little", False)])
def test_a_limit_stands_beside_its_load_or_all_loads_of_its_case(load: str, beside: bool) -> None:
    runs = [result("sluice", "Sluice", 2000), result("limit", "bare aiohttp", 8000, load=load, cpu_us=3)]
    (row,) = map(cells, rows(runs)[len(HEADER) :])
    assert row[7] == ("bare aiohttp 8,000 events/s, 3.0 µs: 0.25 ×" if beside else "")
