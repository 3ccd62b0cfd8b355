"""What the access windows count of a line."""

from __future__ import annotations

import orjson

from parsers.tomcat import AccessColumns, AccessRecord
from tables import keys
from tables.access import AccessTable, PathSlot, SourceSlot
from tables.memory import MemoryStore

LINE = AccessRecord(0, "10.0.0.1", None, "GET", "/", None, "HTTP/1.1", 200, 100, None, None, None)


def count(*lines, source=("shop", "web-1"), max_keys=100):
    """The stored windows of these lines: by source and by path, by key."""
    store = MemoryStore()
    table = AccessTable(store, max_keys)
    for offset, line in enumerate(lines):
        table.add_many(0, [offset], [source], AccessColumns(*([value] for value in line)))
    changes = {}
    table.collect(changes)
    by_source, by_path = (
        {orjson.loads(key[len(prefix) :])[1]: value for key, value in changes.items() if key.startswith(prefix)}
        for prefix in (keys.window_prefix("access", family, 0) for family in "sp")
    )
    return by_source, by_path


def test_requests_bytes_and_statuses():
    by_source, _ = count(LINE, LINE._replace(status=404, bytes=0), LINE._replace(status=None), LINE)
    slot = SourceSlot.decode(by_source["web-1"])
    assert (slot.requests, slot.size, slot.statuses) == (4, 300, {200: 2, 404: 1, None: 1})
    assert (slot.latencies, slot.longest_ms) == ({}, None)


def test_latencies_only_of_lines_that_have_one():
    lines = [LINE._replace(duration_ms=ms) for ms in (None, 5.0, 2.0, 0.0, 5.0)]
    by_source, by_path = count(*lines)
    slot = SourceSlot.decode(by_source["web-1"])
    assert sum(slot.latencies.values()) == 4
    assert slot.longest_ms == 5.0
    path = PathSlot.decode(by_path["/"])
    assert (path.requests, path.timed, path.total_ms, path.longest_ms) == (5, 4, 12.0, 5.0)


def test_a_duration_that_cannot_be_is_not_measured():
    lines = [LINE._replace(duration_ms=ms) for ms in (-1.0, float("nan"), float("inf"), 1e13)]
    by_source, by_path = count(*lines)
    assert SourceSlot.decode(by_source["web-1"]).requests == 4
    assert SourceSlot.decode(by_source["web-1"]).latencies == {}
    assert PathSlot.decode(by_path["/"]).timed == 0


def test_errors_by_path():
    lines = [LINE._replace(status=status) for status in (200, 399, 400, 404, 499, 500, 599, None)]
    _, by_path = count(*lines)
    slot = PathSlot.decode(by_path["/"])
    assert (slot.requests, slot.client_errors, slot.server_errors) == (8, 3, 2)


def test_bytes_beyond_64_bits_are_exact():
    by_source, _ = count(LINE._replace(bytes=2**63), LINE._replace(bytes=2**70))
    assert SourceSlot.decode(by_source["web-1"]).size == 2**63 + 2**70


def test_a_line_without_a_path_counts_under_null():
    _, by_path = count(LINE._replace(path=None))
    assert list(by_path) == [None]


def test_hostile_paths_make_short_keys_and_lose_no_count():
    _, by_path = count(*[LINE._replace(path="/" + "x" * 100_000 + str(number)) for number in range(10)])
    ((path, slot),) = by_path.items()
    assert len(path) == 401
    assert PathSlot.decode(slot).requests == 10


def test_paths_beyond_the_limit_are_other_and_sources_have_a_limit_of_their_own():
    by_source, by_path = count(*[LINE._replace(path=f"/{number}") for number in range(5)], max_keys=2)
    assert {path: PathSlot.decode(slot).requests for path, slot in by_path.items()} == {"/0": 1, "/1": 1, "other": 3}
    assert SourceSlot.decode(by_source["web-1"]).requests == 5


def test_slots_come_back_as_they_were():
    by_source, by_path = count(*[LINE._replace(duration_ms=ms, status=200 + round(ms)) for ms in (0.1, 0.2, 70.3)])
    assert SourceSlot.decode(by_source["web-1"]).encode() == by_source["web-1"]
    assert PathSlot.decode(by_path["/"]).encode() == by_path["/"]
