"""Syslog messages, with the vectors of Flume's own tests (TestSyslogUtils, TestSyslogParser)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from parsers.syslog import KEEP_ALL, SyslogParser

UTC = timezone.utc
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
STATUS = "flume.syslog.status"


def parser(
    now: datetime = NOW, zone: timezone | ZoneInfo | None = UTC, keep: frozenset[str] = frozenset()
) -> SyslogParser:
    return SyslogParser(zone=zone, keep=keep, now_s=now.timestamp)


def ms(text: str) -> str:
    return str(round(datetime.fromisoformat(text).timestamp() * 1000))


# TestSyslogUtils.TestHeader0 to 11: message, timestamp, host. Where they name no zone it is ours, UTC here. In Flume a
# fraction of a second makes the zone ineffective (SimpleDateFormat stops before it): here the zone counts (11).
FLUME_HEADERS = [
    ("<10>2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg", "2012-04-13T11:11:11+08:00", True),
    ("<10>1 2012-04-13T11:11:11 ubuntu-11.cloudera.com some msg", "2012-04-13T11:11:11+00:00", True),
    ("<10>1 2012-04-13T11:11:11Z ubuntu-11.cloudera.com some msg", "2012-04-13T11:11:11+00:00", True),
    ("<10>1 2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg", "2012-04-13T11:11:11+08:00", True),
    ("<10>1 - ubuntu-11.cloudera.com some msg", None, True),
    ("<10>1 2012-04-13T11:11:11 - some msg", "2012-04-13T11:11:11+00:00", False),
    ("<10>1 2012-04-13T11:11:11Z - some msg", "2012-04-13T11:11:11+00:00", False),
    ("<10>1 2012-04-13T11:11:11+08:00 - some msg", "2012-04-13T11:11:11+08:00", False),
    ("<10>1 2012-04-13T11:11:11.999 ubuntu-11.cloudera.com some msg", "2012-04-13T11:11:11.999+00:00", True),
    ("<10>Nov  7 05:11:42 ubuntu-11.cloudera.com some msg", "2026-11-07T05:11:42+00:00", True),
    ("<10>Nov  7 17:11:42 ubuntu-11.cloudera.com some msg", "2026-11-07T17:11:42+00:00", True),
    ("<10>2014-10-03T17:20:01.123456-07:00 ubuntu-11.cloudera.com some msg", "2014-10-03T17:20:01.123-07:00", True),
]


@pytest.mark.parametrize(("message", "stamp", "has_host"), FLUME_HEADERS)
def test_flume_headers(message: str, stamp: str | None, has_host: bool) -> None:
    headers, body = parser().parse(message.encode())
    expected = {"Facility": "1", "Severity": "2", "priority": "10"}
    if message.startswith("<10>1"):
        expected["version"] = "1"
    if stamp is not None:
        expected["timestamp"] = ms(stamp)
    if has_host:
        expected["host"] = "ubuntu-11.cloudera.com"
    assert headers == expected
    assert body == b"some msg"


def test_flume_rfc3164_with_a_hyphen_that_is_no_null() -> None:
    data = b"- hyphen_null_breaks_5424_pattern [07/Jun/2012:14:46:44 -0600]"
    headers, body = parser().parse(b"<10>Nov  7 05:11:42 ubuntu-11.cloudera.com " + data)
    assert headers["host"] == "ubuntu-11.cloudera.com"
    assert body == data


# TestSyslogUtils.testExtractBadEvent1 to 4, and the good one.
@pytest.mark.parametrize(
    "message",
    [
        b"<10F> bad bad data",
        b"hi guys! <10> bad bad data",
        b"<> bad bad data",
        b"<123123123123123123123123123123> bad bad data",
        b"<1234> four digits",
        b"<12",
        b"<",
        b"\x00\xff\x1b[31m",
    ],
)
def test_flume_bad_events_are_kept_and_marked(message: bytes) -> None:
    headers, body = parser().parse(message)
    assert headers == {"Facility": "0", "Severity": "0", STATUS: "Invalid"}
    assert body == message


def test_flume_good_event_of_neither_form_is_its_own_body() -> None:
    assert parser().parse(b"<10>Good good good data") == (
        {"Facility": "1", "Severity": "2"},
        b"<10>Good good good data",
    )


def test_flume_large_event() -> None:
    """TestSyslogUtils.testExtractBadEventLarge: the beginning is Incomplete, the rest Invalid."""
    parse = parser()
    assert parse.parse(b"<10> bad b", cut=True) == (
        {"Facility": "1", "Severity": "2", STATUS: "Incomplete"},
        b"<10> bad b",
    )
    assert parse.remainder(b"ad data ba") == ({"Facility": "0", "Severity": "0", STATUS: "Invalid"}, b"ad data ba")


# TestSyslogParser.testMessageParsing: message, host, body. It asks for no status; hosts and bodies are profile (a)'s.
FLUME_MESSAGES = [
    (
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "mymachine",
        "su: 'su root' failed for lonvick on /dev/pts/8",
    ),
    ("<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "10.0.0.99", "Use the BFG!"),
    (
        "<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time to make the do-nuts.  %%  Ingredients: "
        "Mix=OK, Jelly=OK # Devices: Mixer=OK, Jelly_Injector=OK, Frier=OK # Transport: "
        "Conveyer1=OK, Conveyer2=OK # %%",
        "CST",
        "1987 mymachine myproc[10]: %% It's time to make the do-nuts.  %%  Ingredients: Mix=OK, "
        "Jelly=OK # Devices: Mixer=OK, Jelly_Injector=OK, Frier=OK # Transport: Conveyer1=OK, Conveyer2=OK # %%",
    ),
    (
        "<0>Oct 22 10:52:12 scapegoat 1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: "
        "That's All Folks!",
        "scapegoat",
        "1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!",
    ),
    (
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com "
        "su - ID47 - BOM'su root' failed for lonvick on /dev/pts/8",
        "mymachine.example.com",
        "su - ID47 - BOM'su root' failed for lonvick on /dev/pts/8",
    ),
    (
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        "192.0.2.1",
        "myproc 8710 - - %% It's time to make the do-nuts.",
    ),
    ("<13>2003-08-24T05:14:15Z localhost snarf?", "localhost", "snarf?"),
    ("<13>2012-08-16T14:34:03-08:00 127.0.0.1 test shnap!", "127.0.0.1", "test shnap!"),
]


@pytest.mark.parametrize(("message", "host", "body"), FLUME_MESSAGES)
def test_flume_messages(message: str, host: str, body: str) -> None:
    headers, found = parser().parse(message.encode())
    assert STATUS not in headers
    assert headers["host"] == host
    assert "timestamp" in headers
    assert found == body.encode()
    assert parser(keep=KEEP_ALL).parse(message.encode()) == (headers, message.encode())
    assert parser(keep=frozenset({"hostname"})).parse(message.encode()) == (headers, f"{host} {body}".encode())


@pytest.mark.parametrize(
    ("keep", "body"),
    [
        ("", "some msg"),
        ("hostname", "ubuntu-11.cloudera.com some msg"),
        ("timestamp hostname", "2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg"),
        ("priority timestamp hostname", "<10>2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg"),
        ("priority version timestamp hostname", "<10>1 2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg"),
        ("all", "<10>1 2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg"),
    ],
)
def test_flume_keep_fields(keep: str, body: str) -> None:
    message = b"<10>1 2012-04-13T11:11:11+08:00 ubuntu-11.cloudera.com some msg"
    assert parser(keep=frozenset(keep.split())).parse(message).body == body.encode()


def test_kept_fields_of_other_forms() -> None:
    every = frozenset(("priority", "version", "timestamp", "hostname"))
    assert parser(keep=every).parse(b"<34>Oct  1 22:14:15 web-1 su: x").body == b"<34>Oct  1 22:14:15 web-1 su: x"
    assert parser(keep=every).parse(b"<34>1 2003-10-11T22:14:15.003Z - a").body == b"<34>1 2003-10-11T22:14:15.003Z - a"
    assert parser(keep=every).parse(b"<34>1 - - a").body == b"<34>1 - - a"
    assert parser(keep=every).parse(b"<34>neither").body == b"<34>neither"


@pytest.mark.parametrize("month_offset", range(14))
@pytest.mark.parametrize("i", range(-10, 2))
def test_flume_rfc3164_dates(month_offset: int, i: int) -> None:
    """TestSyslogUtils.TestRfc3164Dates: from ten months back to nearly one ahead, at clocks over fourteen months."""
    now = plus_months(NOW, month_offset)
    sent = plus_months(now, i) - (timedelta(days=1) if i == 1 else timedelta())
    stamp = f"{sent:%b} {sent.day:2d} {sent:%H:%M:%S}"
    headers, body = parser(now).parse(f"<10>{stamp} ubuntu-11.cloudera.com some msg".encode())
    assert headers["timestamp"] == str(int(sent.timestamp()) * 1000)
    assert body == b"some msg"


def plus_months(when: datetime, months: int) -> datetime:
    count = when.year * 12 + when.month - 1 + months
    return when.replace(year=count // 12, month=count % 12 + 1)


@pytest.mark.parametrize(
    ("now", "stamp", "instant"),
    [
        ("2027-01-01T00:00:05+00:00", "Dec 31 23:59:58", "2026-12-31T23:59:58+00:00"),
        ("2026-12-31T23:59:58+00:00", "Jan  1 00:00:05", "2027-01-01T00:00:05+00:00"),
        ("2027-01-15T00:00:00+00:00", "Feb 20 00:00:00", "2026-02-20T00:00:00+00:00"),
        ("2027-01-15T00:00:00+00:00", "Feb 14 00:00:00", "2027-02-14T00:00:00+00:00"),
        ("2028-03-01T00:00:00+00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00+00:00"),
        ("2029-01-10T00:00:00+00:00", "Feb 29 12:00:00", "2028-02-29T12:00:00+00:00"),
        ("2026-03-01T00:00:00+00:00", "Feb 29 12:00:00", None),
        ("2026-11-21T00:00:00+00:00", "Nov 31 12:00:00", None),
        ("2026-11-21T00:00:00+00:00", "Nov 20 24:00:00", None),
        ("2026-11-21T00:00:00+00:00", "Abc 20 12:00:00", None),
        ("2017-01-01T00:00:00+00:00", "Dec 31 23:59:60", "2017-01-01T00:00:00+00:00"),
        ("2027-01-31T12:00:00+00:00", "Feb 28 11:00:00", "2027-02-28T11:00:00+00:00"),
        ("2027-01-31T12:00:00+00:00", "Mar 31 11:00:00", "2026-03-31T11:00:00+00:00"),
    ],
)
def test_the_year_is_guessed(now: str, stamp: str, instant: str | None) -> None:
    headers, body = parser(datetime.fromisoformat(now)).parse(f"<13>{stamp} web-1 hello".encode())
    assert headers.get("timestamp") == (ms(instant) if instant else None)
    assert (headers["host"], body) == ("web-1", b"hello")


def test_a_remembered_stamp_is_guessed_anew_when_time_has_passed() -> None:
    now = [datetime(2026, 12, 1, tzinfo=UTC).timestamp()]
    parse = SyslogParser(zone=UTC, now_s=lambda: now[0])
    assert parse.parse(b"<13>Nov 30 00:00:00 h m").headers["timestamp"] == ms("2026-11-30T00:00:00+00:00")
    now[0] = datetime(2027, 11, 29, tzinfo=UTC).timestamp()
    assert parse.parse(b"<13>Nov 30 00:00:00 h m").headers["timestamp"] == ms("2027-11-30T00:00:00+00:00")


def test_the_zone_is_that_of_stamps_without_one() -> None:
    parse = parser(zone=ZoneInfo("Europe/Berlin"))
    assert parse.parse(b"<13>Nov 20 10:00:00 h m").headers["timestamp"] == ms("2026-11-20T10:00:00+01:00")
    assert parse.parse(b"<13>Jul 20 10:00:00 h m").headers["timestamp"] == ms("2026-07-20T10:00:00+02:00")
    assert parse.parse(b"<13>1 2026-07-20T10:00:00 h m").headers["timestamp"] == ms("2026-07-20T10:00:00+02:00")
    assert parse.parse(b"<13>1 2026-07-20T10:00:00Z h m").headers["timestamp"] == ms("2026-07-20T10:00:00+00:00")


def test_without_a_zone_it_is_this_machines() -> None:
    expected = int(datetime(2026, 7, 20, 10, 0, 0).timestamp()) * 1000
    assert parser(zone=None).parse(b"<13>1 2026-07-20T10:00:00 h m").headers["timestamp"] == str(expected)


@pytest.mark.parametrize(
    ("stamp", "instant"),
    [
        ("2026-11-20T10:00:00.5Z", "2026-11-20T10:00:00.500+00:00"),
        ("2026-11-20T10:00:00.123456789Z", "2026-11-20T10:00:00.123+00:00"),
        ("2026-11-20T10:00:00.01-00:30", "2026-11-20T10:00:00.010-00:30"),
        ("2026-13-20T10:00:00Z", None),
        ("2026-11-20T10:00:00+24:00", None),
        ("0001-01-01T00:00:00", None),
    ],
)
def test_rfc5424_stamps(stamp: str, instant: str | None) -> None:
    zone = ZoneInfo("Asia/Tokyo") if stamp.startswith("0001") else UTC
    headers, body = parser(zone=zone).parse(f"<13>1 {stamp} web-1 app - - - hi".encode())
    if not stamp.startswith("0001"):
        assert headers.get("timestamp") == (ms(instant) if instant else None)
    assert headers["host"] == "web-1"
    assert body == b"app - - - hi"


@pytest.mark.parametrize(
    "stamp",
    [
        "1985-04-12T23:20:50.52Z", "1985-04-12T19:20:50.52-04:00", "2003-10-11T22:14:15.003Z",
        "2003-08-24T05:14:15.000003-07:00", "2012-04-13T11:11:11-08:00", "2012-04-13T08:08:08.0001+00:00",
        "2012-04-13T08:08:08.251+00:00",
    ],
)  # fmt: skip
def test_flume_rfc5424_dates(stamp: str) -> None:
    """TestSyslogParser.testRfc5424DateParsing."""
    second, _, rest = stamp.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    if digits:
        zone = rest[len(digits) :]
        exact = datetime.fromisoformat(second + zone.replace("Z", "+00:00")).timestamp() * 1000
        expected = int(exact) + int((digits + "000")[:3])
    else:
        expected = int(datetime.fromisoformat(stamp).timestamp() * 1000)
    assert parser().parse(f"<13>1 {stamp} h a - - - m".encode()).headers["timestamp"] == str(expected)


def test_nothing_of_one_message_shows_in_the_next() -> None:
    parse = parser()
    parse.parse(b'<165>1 2003-10-11T22:14:15.003Z h.example.com app 1 ID [a b="c"] x')
    assert parse.parse(b"<10>plain").headers == {"Facility": "1", "Severity": "2"}
    assert parse.parse(b"nothing").headers == {"Facility": "0", "Severity": "0", STATUS: "Invalid"}
    parse.parse(b"cut", cut=True)
    assert STATUS not in parse.parse(b"<13>Nov  1 00:00:00 h m").headers


RFC5424 = b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com "


@pytest.mark.parametrize(
    ("rest", "headers"),
    [
        (
            b'evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] '
            b"\xef\xbb\xbfAn event",
            {
                "app": "evntslog",
                "msgid": "ID47",
                "sd.exampleSDID@32473.iut": "3",
                "sd.exampleSDID@32473.eventSource": "Application",
                "sd.exampleSDID@32473.eventID": "1011",
            },
        ),
        (
            b'a 17 - [x@1 n="1"][origin ip="192.0.2.1" ip="192.0.2.129"]',
            {"app": "a", "procid": "17", "sd.x@1.n": "1", "sd.origin.ip": "192.0.2.1,192.0.2.129"},
        ),
        (b"su - - - hello", {"app": "su"}),
        (b"- - - -", {}),
        (b"- - - [empty] hello", {}),
        (
            rb'- - - [x a="q\"q" b="s\\s" c="b\]b" d="n\n"] m',
            {"sd.x.a": 'q"q', "sd.x.b": "s\\s", "sd.x.c": "b]b", "sd.x.d": "n\\n"},
        ),
        ('- - - [x a="é"]'.encode(), {"sd.x.a": "é"}),
        (b'- - - [x a="\xff\xed\xa0\x80\x00"]', {"sd.x.a": "\\xff\\xed\\xa0\\x80\x00"}),
        (b"some msg", {}),
        (b"some message that is long", {}),
        (b'a b c [x a="1] m', {}),
        (b'a b c [x a="1"]m', {}),
        (b"a b c -m", {}),
        (b"a  b c - m", {}),
    ],
)
def test_the_words_after_the_host_come_as_headers_and_stay_in_the_body(rest: bytes, headers: dict[str, str]) -> None:
    event = parser().parse(RFC5424 + rest)
    expected = {
        "Facility": "20", "Severity": "5", "priority": "165", "version": "1",
        "timestamp": "1065910455003", "host": "mymachine.example.com",
    }  # fmt: skip
    assert event == ({**expected, **headers}, rest)


def test_structured_data_become_no_more_headers_than_are_good() -> None:
    many = b"".join(b'[e%d a="1" b="2"]' % number for number in range(1000))
    assert len(parser().parse(RFC5424 + b"- - - " + many).headers) == 6 + 64
    large = b'[x a="' + b"y" * 20_000 + b'"]'
    event = parser().parse(RFC5424 + b"app - - " + large)
    assert event.headers["app"] == "app"
    assert not any(name.startswith("sd.") for name in event.headers)
    assert event.body == b"app - - " + large


@pytest.mark.parametrize(
    ("message", "host", "body"),
    [
        (b"<13>Nov  1 00:00:00 2001:db8::1 hi", "2001:db8::1", b"hi"),
        (b"<13>Nov  1 00:00:00 ::1 hi", "::1", b"hi"),
        (b"<13>1 - 2001:db8::1 a - - - hi", "2001:db8::1", b"a - - - hi"),
        (b"<13>1 - \\\\weird/host a - - - hi", "\\\\weird/host", b"a - - - hi"),
        (b"<13>Nov  1 00:00:00 su: hi", None, b"<13>Nov  1 00:00:00 su: hi"),
        (b"<13>Nov  1 00:00:00 add: hi", None, b"<13>Nov  1 00:00:00 add: hi"),
        (b"<13>2026-11-01T00:00:00Z su: hi", None, b"<13>2026-11-01T00:00:00Z su: hi"),
        (b"<13>Nov  1 00:00:00 host", None, b"<13>Nov  1 00:00:00 host"),
        (b"<13>Nov  1 00:00:00 host ", "host", b"<13>Nov  1 00:00:00 host "),
        (b"<13>Nov  1 00:00:00 host  two blanks", "host", b" two blanks"),
        (b"<13>Nov  1 00:00:00 h line\none\r\x00\xff", "h", b"line\none\r\x00\xff"),
    ],
)
def test_hosts_and_bodies(message: bytes, host: str | None, body: bytes) -> None:
    event = parser().parse(message)
    assert event.headers.get("host") == host
    assert event.body == body


def test_priorities_beyond_the_standard_are_taken_as_flume_does() -> None:
    assert parser().parse(b"<999>Nov  1 00:00:00 h m").headers["Facility"] == "124"
    assert parser().parse(b"<007>Nov  1 00:00:00 h m").headers["priority"] == "007"
