"""What a record's headers say."""

from __future__ import annotations

import pytest

from agents.origin import Origin, Origins


def origin(**headers):
    return Origin(tuple(headers.items()))


def test_service_defaults_to_the_host():
    assert origin(host=b"web-1", service=b"shop").source == ("shop", "web-1")
    assert origin(host=b"web-1").source == ("web-1", "web-1")
    assert origin(service=b"shop").source == ("shop", None)
    assert Origin(()).source == (None, None)


def test_of_a_name_that_comes_twice_the_last_counts():
    assert Origin((("type", b"a"), ("type", b"b"))).type == "b"


def test_hostile_headers_are_text_all_the_same():
    found = Origin((("host", b"\xff\x00<b>"), ("type", None), ("service", b"x" * 10_000)))
    assert found.host == "\ufffd\x00<b>"
    assert found.type == ""
    assert len(found.service) == 10_000
    assert len(found.source[0]) == 401


@pytest.mark.parametrize(
    ("timestamp", "time_ms"),
    [
        (b"1800000000000", 1_800_000_000_000),
        (b"946684800000", 946_684_800_000),
        (b"1800086400000", 1_800_086_400_000),
        (b"1800086400001", 1_800_000_000_000),  # more than a day ahead of the arrival
        (b"946684799999", 1_800_000_000_000),  # before 2000
        (b"18000000000000", 1_800_000_000_000),
        (b"-1800000000", 1_800_000_000_000),
        ("\u0661800000000000".encode(), 1_800_000_000_000),  # a digit, and not an ASCII one
        (b"", 1_800_000_000_000),
        (b"yesterday", 1_800_000_000_000),
    ],
)
def test_the_records_time_is_its_header_where_that_can_be(timestamp, time_ms):
    assert origin(timestamp=timestamp).time_ms(1_800_000_000_000) == time_ms


def test_headers_are_read_once():
    asked = []
    origins = Origins(lambda found: asked.append(found) or found.type)
    first = origins.of((("type", b"access_log"),))
    assert origins.of((("type", b"".join([b"access", b"_log"])),)) is first
    assert origins.known[(("type", b"access_log"),)] is first
    assert first[1] == "access_log"
    assert len(asked) == 1


def test_memory_is_bounded():
    origins = Origins(lambda found: None)
    for number in range(10_000):
        origins.of((("timestamp", b"%d" % number),))
    origins.of((("type", b"x" * 3000),))
    assert len(origins.known) <= 4096
    assert all(found.header_bytes < 100 for found, _ in origins.known.values())
