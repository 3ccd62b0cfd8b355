"""Any bytes are an event, and no byte of a stream is lost, however it is cut."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from parsers.syslog import KEEP_FIELDS, SyslogParser
from parsers.syslog_frames import Frame, Framer

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
STATUS = "flume.syslog.status"

pieces = st.sampled_from(
    [b"<", b">", b"13", b"<13>", b"1 ", b" ", b"-", b"\n", b"\r", b"\0", b"Oct 11 22:14:15",
     b"2003-10-11T22:14:15.003Z", b"host", b"::1", b"[x@1 ", b'a="', b'"', b"]", b"\\", b"app ", b"\xff", b"\xc3\xa9"]
)  # fmt: skip
hostile = st.one_of(st.binary(max_size=200), st.lists(st.one_of(pieces, st.binary(max_size=5))).map(b"".join))


@given(hostile, st.booleans(), st.sets(st.sampled_from([*KEEP_FIELDS, "all"])))
@example(b"<13>1 9999-12-31T23:59:59 h m", False, set())
@example(b"<13>1 0001-01-01T00:00:00+18:00 h m", False, set())
def test_any_bytes_are_an_event(message: bytes, cut: bool, keep: set[str]) -> None:
    parser = SyslogParser(zone=timezone(timedelta(hours=14)), keep=keep, now_s=NOW.timestamp)
    headers, body = parser.parse(message, cut)
    assert 0 <= int(headers["Facility"]) <= 124
    assert 0 <= int(headers["Severity"]) <= 7
    assert all(isinstance(value, str) and value.encode() is not None for value in headers.values())
    assert len(headers) <= 9 + 64 + 1
    if "timestamp" in headers:
        int(headers["timestamp"])
    assert headers.get(STATUS) in (None, "Invalid", "Incomplete")
    # The body is the message or its end, and what is kept of its beginning.
    assert body == message or message.endswith(body) or keep
    assert parser.parse(message, cut) == (headers, body)


def cut_at(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def frames(chunks: list[bytes], max_bytes: int, limit: int, clean: bool = True) -> list[Frame]:
    framer = Framer(max_bytes)
    found: list[Frame] = []
    for chunk in chunks:
        framer.feed(chunk)
        while some := framer.take(limit):
            found += some
    return found + framer.finish(clean)


streams = st.lists(st.one_of(pieces, st.binary(max_size=30), st.sampled_from([b"5 <13>", b"40 <", b"3 <1>"]))).map(
    b"".join
)


@given(streams, st.lists(st.integers(0, 10_000)), st.integers(10, 60), st.integers(1, 5), st.booleans())
def test_how_a_stream_arrives_makes_no_difference(
    stream: bytes, cuts: list[int], max_bytes: int, limit: int, clean: bool
) -> None:
    at_once = frames([stream], max_bytes, 1000, clean)
    assert frames(cut_at(stream, cuts), max_bytes, limit, clean) == at_once
    assert all(0 < len(frame.data) <= max_bytes for frame in at_once)
    # Nothing but line ends, counts and trailing NULs is left out, and the order is kept.
    at = 0
    for frame in at_once:
        found = stream.find(frame.data, at)
        assert found >= 0
        assert not stream[at:found].strip(b"\r\n\0 0123456789")
        at = found + len(frame.data)
    assert not stream[at:].strip(b"\r\n\0 0123456789")


plain = st.binary(min_size=1, max_size=80).map(lambda body: b"<13>" + body.replace(b"\n", b" ").rstrip(b"\r\0") + b".")


@given(st.lists(st.tuples(plain, st.booleans())), st.lists(st.integers(0, 10_000)))
def test_both_framings_may_follow_each_other(messages: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    stream = b"".join(b"%d %s" % (len(body), body) if counted else body + b"\n" for body, counted in messages)
    assert frames(cut_at(stream, cuts), 100, 3) == [Frame(body, "whole") for body, _ in messages]


@given(st.datetimes(datetime(2001, 1, 1), datetime(2090, 12, 31)), st.integers(-330 * 86_400, 27 * 86_400))
def test_a_stamp_without_a_year_is_of_the_twelve_months_around_now(now: datetime, away_s: int) -> None:
    clock = now.replace(tzinfo=timezone.utc, microsecond=0)
    sent = clock + timedelta(seconds=away_s)
    stamp = f"{sent:%b} {sent.day:2d} {sent:%H:%M:%S}"
    parser = SyslogParser(zone=timezone.utc, now_s=clock.timestamp)
    assert parser.parse(f"<13>{stamp} h m".encode()).headers["timestamp"] == str(int(sent.timestamp()) * 1000)
