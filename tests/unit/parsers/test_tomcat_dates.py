"""%t in every form, alone and spread over several codes."""

from datetime import datetime, timezone

import pytest

from parsers.errors import ParseError
from parsers.tomcat import compile_pattern


def ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, milli: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()) * 1000 + milli


NOON = ms(2024, 2, 29, 12, 34, 56)


@pytest.mark.parametrize(
    ("pattern", "line", "expected"),
    [
        ("%t", "[29/Feb/2024:12:34:56 +0000]", NOON),
        ("%t", "[29/Feb/2024:18:04:56 +0530]", NOON),
        ("%t", "[29/Feb/2024:04:34:56 -0800]", NOON),
        ("%{}t", "[29/Feb/2024:12:34:56 +0000]", NOON),
        ("%{begin}t", "[29/Feb/2024:12:34:56 +0000]", NOON),
        ("%{end}t", "[29/Feb/2024:12:34:56 +0000]", NOON),
        ("%{sec}t", "1709210096", NOON),
        ("%{msec}t", "1709210096789", NOON + 789),
        ("%{begin:msec}t", "1709210096789", NOON + 789),
        ("%{sec}t,%{msec_frac}t", "1709210096,007", NOON + 7),
        ("%{msec_frac}t %{sec}t", "007 1709210096", NOON + 7),
        ("%{sec}t%{msec_frac}t", "1709210096007", NOON + 7),
        ("%{begin:sec}t %{end:sec}t", "1709210000 1709210096", NOON),  # the end is what %t means
        ("%{begin:sec}t.%{begin:msec_frac}t %{msec_frac}t", "1709210096.005 999", NOON + 5),
        ("%{yyyy-MM-dd HH:mm:ss}t", "2024-02-29 12:34:56", NOON),
        ("%{yyyy-MM-dd}t %h %{HH:mm:ss}t", "2024-02-29 web 12:34:56", NOON),
        ("%{yyyy-MM-dd}t %{HH:mm:ss}t.%{msec_frac}t", "2024-02-29 12:34:56.042", NOON + 42),
        ("%{yyyyMMddHHmmssSSS}t", "20240229123456042", NOON + 42),
        ("%{yyyy-MM-dd'T'HH:mm:ss.SSSZ}t", "2024-02-29T13:34:56.042+0100", NOON + 42),
        ("%{yyyy-MM-dd'T'HH:mm:ssX}t", "2024-02-29T12:34:56Z", NOON),
        ("%{yyyy-MM-dd'T'HH:mm:ssX}t", "2024-02-29T13:34:56+01", NOON),
        ("%{yyyy-MM-dd'T'HH:mm:ssXX}t", "2024-02-29T13:34:56+0100", NOON),
        ("%{yyyy-MM-dd'T'HH:mm:ssXXX}t", "2024-02-29T13:34:56+01:00", NOON),
        ("%{d/M/yy H:m:s}t", "29/2/24 12:34:56", NOON),
        ("%{d/M/yy H:m:s}t", "1/3/24 9:4:6", ms(2024, 3, 1, 9, 4, 6)),
        ("%{EEEE, d MMMM yyyy h:mm a}t", "Thursday, 29 February 2024 1:05 PM", ms(2024, 2, 29, 13, 5)),
        ("%{dd.MM.yyyy K:mm:ss a}t", "29.02.2024 0:34:56 PM", NOON),
        ("%{dd.MM.yyyy hh:mm:ss a}t", "29.02.2024 12:00:01 AM", ms(2024, 2, 29, 0, 0, 1)),
        ("%{dd.MM.yyyy kk:mm}t", "29.02.2024 24:30", ms(2024, 2, 29, 0, 30)),
        ("%{yyyy-MM-dd HH:mm:ss.S}t", "2024-02-29 12:34:56.7", NOON + 7),  # Tomcat's one S is the bare number
        ("%{yyyy-MM-dd HH:mm:ss z}t", "2024-02-29 13:34:56 CET", NOON),
        ("%{yyyy-MM-dd HH:mm:ss z}t", "2024-02-29 07:34:56 EST", NOON),
        ("%{yyyy-MM-dd HH:mm:ss z}t", "2024-02-29 14:34:56 GMT+02:00", NOON),
        ("%{yyyy 'o''clock' MM dd HH mm}t", "2024 o'clock 02 29 12 34", ms(2024, 2, 29, 12, 34)),
        ("%{yyyy''MM''dd HH mm}t", "2024'02'29 12 34", ms(2024, 2, 29, 12, 34)),
        ("%{yyyy'\"'MM'\\'dd HH mm}t", '2024\\"02\\\\29 12 34', ms(2024, 2, 29, 12, 34)),
        ("%{yyyy'\u20ac\t'MM dd HH mm}t", "2024\\u20ac\\t02 29 12 34", ms(2024, 2, 29, 12, 34)),
        ("%{yyyy'\U0001f600'MM dd HH mm}t", "2024\\ud83d\\ude0002 29 12 34", ms(2024, 2, 29, 12, 34)),
    ],
)
def test_instant(pattern: str, line: str, expected: int) -> None:
    assert compile_pattern(pattern, 10).parse(line.encode()).ts == expected


@pytest.mark.parametrize(
    ("pattern", "line"),
    [("%h", "web"), ("%{HH:mm:ss}t", "12:34:56"), ("%{yyyy-MM-dd}t", "2024-02-29"), ("%{msec_frac}t", "007")],
)
def test_no_instant_where_the_pattern_does_not_give_one(pattern: str, line: str) -> None:
    assert compile_pattern(pattern, 10).parse(line.encode()).ts is None


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("%t", "[31/Feb/2024:12:34:56 +0000]"),
        ("%t", "[29/Feb/2023:12:34:56 +0000]"),
        ("%t", "[29/Feb/2024:24:34:56 +0000]"),
        ("%t", "[29/Feb/2024:12:60:56 +0000]"),
        ("%t", "[29/Feb/2024:12:34:56 +0060]"),
        ("%t", "[29/Feb/2024:12:34:56 +2000]"),
        ("%t", "[29/Feb/0000:12:34:56 +0000]"),
        ("%t", "[29/Fev/2024:12:34:56 +0000]"),
        ("%t", "[2٩/Feb/2024:12:34:56 +0000]"),  # an Arabic digit
        ("%{yyyy-MM-dd HH:mm}t", "2024-13-01 12:34"),
        ("%{yyyy-MM-dd HH:mm z}t", "2024-02-29 12:34 IST"),
        ("%{yyyy-MMM-dd HH:mm}t", "2024-Foo-29 12:34"),
    ],
)
def test_an_instant_that_does_not_exist(pattern: str, line: str) -> None:
    parser = compile_pattern(pattern, 10)
    for _ in range(2):  # a failure is not remembered as a success
        with pytest.raises(ParseError) as caught:
            parser.parse(line.encode())
        assert caught.value.reason == "bad_timestamp"
