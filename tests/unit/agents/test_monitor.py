"""What monitoring makes of records: forwards, dead letters, windows and counts."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from aiokafka.structs import ConsumerRecord

from agents.access_log import AccessLog
from agents.monitor import Forward, PartitionMonitor
from parsers.errors import ParseError
from tables import span
from tables.access_query import access_windows
from tables.business_query import business_windows
from tables.memory import MemoryStore
from telemetry.flow import Flow
from tests.support.monitoring import (
    ACCESS,
    EPOCH_MS,
    ORDERS,
    RETENTION_S,
    WINDOW_S,
    Monitored,
    Raw,
    access_headers,
    access_line,
    business_headers,
    business_line,
)

CLOCK = {"window_s": WINDOW_S, "retention_s": RETENTION_S}


def access(offset=0, arrival_ms=EPOCH_MS, at_ms=None, **line):
    return Raw(offset, arrival_ms, access_line(arrival_ms if at_ms is None else at_ms, **line), access_headers())


def requests(monitored):
    return sum(row["requests"] for row in access_windows([monitored.store], **CLOCK))


def test_an_access_line_is_forwarded_and_counted():
    monitored = Monitored(partition=3)
    record = ConsumerRecord(
        topic="raw-log",
        partition=3,
        offset=17,
        timestamp=EPOCH_MS + 1234,
        timestamp_type=0,
        key=b"web-1",
        value=access_line(EPOCH_MS, "/buy?item=1", 200, 512, 1.5),
        checksum=None,
        serialized_key_size=5,
        serialized_value_size=100,
        headers=access_headers(),
    )
    (forward,) = monitored.run([record]).forwards
    assert forward[:2] == ("access-log", b"web-1")
    assert forward[3:] == (EPOCH_MS + 1234, [("raw", b"3/17")])
    assert json.loads(forward.value) == {
        "ts": EPOCH_MS,
        "service": "shop",
        "host": "web-1",
        "client": "10.0.0.1",
        "user": None,
        "method": "GET",
        "path": "/buy",
        "query": "item=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 512,
        "duration_ms": 1.5,
        "referer": None,
        "user_agent": None,
    }
    assert isinstance(forward, Forward)
    assert requests(monitored) == 1


def test_a_business_line_goes_to_every_route_that_names_its_logger():
    other = replace(ORDERS, name="everything", logger="*", group_by=())
    monitored = Monitored(business=(ORDERS, other))
    body = business_line(EPOCH_MS, status="paid", amount=1.5, items=2)
    outcome = monitored.run(
        [Raw(0, EPOCH_MS, body, business_headers("orders")), Raw(1, EPOCH_MS, body, business_headers("stock"))]
    )
    assert [(forward.topic, forward.headers[0][1]) for forward in outcome.forwards] == [
        ("business-orders", b"0/0"),
        ("business-everything", b"0/0"),
        ("business-everything", b"0/1"),
    ]
    assert json.loads(outcome.forwards[0].value)["amount"] == 1.5
    assert [row["count"] for row in business_windows([monitored.store], ORDERS, **CLOCK)] == [1]
    assert [row["count"] for row in business_windows([monitored.store], other, **CLOCK)] == [2]


def test_a_business_line_without_a_time_has_the_records():
    route = replace(ORDERS, timestamp=None)
    monitored = Monitored(business=(route,))
    headers = (*business_headers(), ("timestamp", b"%d" % (EPOCH_MS - 20_000)))
    outcome = monitored.run(
        [Raw(0, EPOCH_MS, b'{"status": "a"}', headers), Raw(1, EPOCH_MS, b'{"status": "a"}', business_headers())]
    )
    assert [json.loads(forward.value)["ts"] for forward in outcome.forwards] == [EPOCH_MS - 20_000, EPOCH_MS]
    starts = [row["start"] * 1000 for row in business_windows([monitored.store], route, **CLOCK)]
    assert starts == [EPOCH_MS - 20_000, EPOCH_MS]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("type", b"catalina"), ("host", b"web-1")),
        (("type", b"Access_Log"),),
        (("type", b"business"),),
        (("type", b"business"), ("logger", b"stock")),
        (("type", None),),
    ],
)
def test_everything_else_is_not_monitored(headers):
    monitored = Monitored()
    outcome = monitored.run([Raw(0, EPOCH_MS, access_line(EPOCH_MS), headers)])
    assert outcome.forwards == []
    assert outcome.tallies == {}
    assert all(key.startswith((b"clock", b"epoch")) for key in outcome.changes)


@pytest.mark.parametrize("body", [None, b"", b"nonsense", b"\x00\xff\x1b[31m<script>", b"x" * 1_000_000])
def test_a_line_that_does_not_parse_is_a_dead_letter_unchanged(body):
    monitored = Monitored(partition=2)
    record = Raw(5, EPOCH_MS + 7, body, access_headers(), key=None)
    (letter,) = monitored.run([record]).forwards
    assert letter[:4] == ("dead-letter", None, body, EPOCH_MS + 7)
    assert tuple(letter.headers[:3]) == record.headers
    added = dict(letter.headers[3:])
    assert list(added) == ["reason", "error", "raw"]
    assert added["reason"] == b"no_pattern_matches"
    assert added["raw"] == b"2/5"
    assert len(added["error"].decode()) <= 501
    assert requests(monitored) == 0


def test_a_record_is_one_dead_letter_however_many_routes_refuse_it():
    monitored = Monitored(business=(ORDERS, replace(ORDERS, name="strict", fields={"status": "int"}, metrics=())))
    refused = monitored.run([Raw(0, EPOCH_MS, b"{", business_headers())])
    (letter,) = refused.forwards
    error = dict(letter.headers)["error"].decode()
    assert "business-orders: " in error
    assert "business-strict: " in error
    body = business_line(EPOCH_MS, status="paid")
    assert [forward.topic for forward in monitored.run([Raw(1, EPOCH_MS, body, business_headers())]).forwards] == [
        "business-orders",
        "dead-letter",
    ]


def test_what_would_be_too_large_as_json_is_a_dead_letter_also_for_the_windows():
    line = access_line(EPOCH_MS, path="/" + "\\u0000" * 60_000)
    for forward_from in (0, 1):
        monitored = Monitored(max_value_bytes=300_000)
        outcome = monitored.run([Raw(0, EPOCH_MS, line, access_headers())], forward_from)
        assert requests(monitored) == 0
        assert outcome.tallies["access-log"].rejected == {"too_large": 1}
        assert [forward.topic for forward in outcome.forwards] == ["dead-letter"][forward_from:]


def test_a_key_counts_towards_the_size():
    monitored = Monitored()
    outcome = monitored.run([replace(access(0), key=b"k" * 999_900), replace(access(1), key=b"k" * 999_000)])
    assert {forward.topic: forward.headers[-1] for forward in outcome.forwards} == {
        "dead-letter": ("raw", b"0/0"),
        "access-log": ("raw", b"0/1"),
    }
    assert outcome.tallies["access-log"].rejected == {"too_large": 1}


class Broken(AccessLog):
    """A route with a bug."""

    def __init__(self, error):
        super().__init__(ACCESS)
        self.parse_many = self.fail
        self.error = error

    def fail(self, bodies):
        raise self.error


def test_a_bug_in_a_parser_does_not_stop_the_partition():
    monitor = PartitionMonitor(0, [Broken(ZeroDivisionError("oops"))], MemoryStore(), window_s=10, retention_s=60)
    outcome = monitor.process([access()], 0)
    assert dict(outcome.forwards[0].headers)["reason"] == b"internal_error"
    assert dict(outcome.forwards[0].headers)["error"] == b"access-log: ZeroDivisionError: oops"


def test_an_error_is_bounded_and_utf8():
    broken = Broken(ParseError("odd", "\ud800" + "x" * 10_000))
    monitor = PartitionMonitor(0, [broken], MemoryStore(), window_s=10, retention_s=60)
    error = dict(monitor.process([access()], 0).forwards[0].headers)["error"].decode()
    assert error.startswith("access-log: ?xxx")
    assert len(error) == 501


def test_late_lines_update_their_window_as_long_as_it_is_retained():
    monitored = Monitored()
    monitored.run([access(0), access(1, EPOCH_MS + RETENTION_S * 1000, EPOCH_MS)])
    (row,) = access_windows([monitored.store], **CLOCK)
    assert (row["start"] * 1000, row["requests"]) == (EPOCH_MS, 2)


@pytest.mark.parametrize(
    ("at_ms", "kind"),
    [
        (EPOCH_MS - RETENTION_S * 1000 - 1000, "expired"),
        (0, "expired"),
        (-(10**9), "expired"),
        (EPOCH_MS + 301_000, "future"),
        (EPOCH_MS + 10**11, "future"),
    ],
)
def test_lines_out_of_time_are_forwarded_and_counted_apart(at_ms, kind):
    monitored = Monitored()
    outcome = monitored.run([access(0, at_ms=at_ms), access(1)])
    assert [forward.topic for forward in outcome.forwards] == ["access-log"] * 2
    assert requests(monitored) == 1
    expected = {"expired": 0, "future": 0} | {kind: 1}
    assert span.outside([monitored.store], RETENTION_S) == {"access": expected}


def test_five_minutes_ahead_is_in_time():
    monitored = Monitored()
    monitored.run([access(0, at_ms=EPOCH_MS + 300_000)])
    assert requests(monitored) == 1


def test_windows_out_of_the_retention_are_deleted_and_do_not_come_back():
    monitored = Monitored()
    monitored.run([access(0)])
    monitored.run([access(1, EPOCH_MS + RETENTION_S * 1000 + 10_000)])
    before = len(monitored.drain())
    monitored.run([access(2, EPOCH_MS, EPOCH_MS)])  # an arrival that is late, too: its window is gone
    assert len(monitored.drain()) == before
    assert span.outside([monitored.store], RETENTION_S) == {"access": {"expired": 1, "future": 0}}
    assert requests(monitored) == 1


def test_records_without_an_arrival_take_the_clocks():
    monitored = Monitored()
    outcome = monitored.run([access(0), replace(access(1, at_ms=EPOCH_MS), timestamp=-1)])
    assert outcome.forwards[1].timestamp_ms == EPOCH_MS
    assert requests(monitored) == 2


def test_only_records_without_an_arrival():
    monitored = Monitored()
    outcome = monitored.run([replace(access(0), timestamp=-1)])
    assert outcome.forwards[0].timestamp_ms == 0
    assert span.outside([monitored.store], RETENTION_S) == {"access": {"expired": 0, "future": 1}}


def test_only_from_an_offset_on_is_forwarded_and_everything_is_counted():
    monitored = Monitored()
    outcome = monitored.run([access(0), Raw(1, EPOCH_MS, b"bad", access_headers()), access(2)], forward_from=2)
    assert [forward.headers for forward in outcome.forwards] == [[("raw", b"0/2")]]
    assert requests(monitored) == 2
    tally = outcome.tallies["access-log"]
    assert (tally.received, tally.sent, tally.rejected) == (3, 1, {"replayed": 1, "no_pattern_matches": 1})


def test_counts_are_of_the_batch_and_add_up():
    monitored = Monitored()
    bad = Raw(1, EPOCH_MS, b"bad", access_headers())
    records = [access(0), bad, Raw(2, EPOCH_MS + 5, b"{}", business_headers())]
    outcome = monitored.monitor.process(records, 0)
    monitored.monitor.discard()
    outcome = monitored.run(records)
    flow = Flow("access-log", "route")
    for tally in (outcome.tallies["access-log"], monitored.run([access(3)]).tallies["access-log"]):
        tally.add_to(flow)
    assert (flow.received, flow.sent, flow.rejected) == (3, 2, {"no_pattern_matches": 1})
    assert flow.received_bytes == 2 * len(access_line(EPOCH_MS)) + 3
    assert flow.sent_bytes > 0
    assert flow.last_event_at_ms == EPOCH_MS + 5
    assert outcome.tallies["business-orders"].rejected == {"bad_timestamp": 1}


def test_what_is_discarded_never_happened():
    monitored = Monitored()
    monitored.monitor.process([access(0), access(1, path="/other")], 0)
    monitored.monitor.discard()
    monitored.run([access(0)])
    fresh = Monitored()
    fresh.run([access(0)])
    assert monitored.store.content == fresh.store.content


def test_an_empty_batch_is_nothing():
    monitored = Monitored()
    assert monitored.run([]) == ([], {}, {})
