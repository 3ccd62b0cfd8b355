"""How bytes become records."""

from __future__ import annotations

import re

import pytest

from sources.tail.records import CATALINA, MAX_LINES, Piece, Records

JULI = b"21-Nov-2026 10:00:00.123 SEVERE [main] org.apache.X.y Servlet.service() threw\n"
TRACE = (
    b"\tjava.lang.RuntimeException: z\n\t\tat a.B.c(B.java:1)\n\tCaused by: java.io.IOException\n\t\t... 12 more\n"
    b"a line of the message itself\n"
)
SIMPLE = b"Jan 13, 2012 3:17:10 PM org.apache.catalina.X start\nINFO: started\n"
DUMP = b'2026-11-21 10:00:00\nFull thread dump OpenJDK 64-Bit Server VM:\n\n"main" #1 prio=5\n\tat a.B.c(B.java:1)\n'
GC = b"[0.123s][info][gc] GC(0) Pause Young\n"
LOCALISED = b"21-Nov-2026 10:00:00.123 SCHWERWIEGEND [http-nio-8080-exec-1] a.b c\n"


def bodies(records, data, **options):
    return [piece.body for piece in records.cut(data, 0, 0, **options).pieces]


def test_catalina_out():
    everything = b"java -version\nNOTE: no time\n" + JULI + TRACE + LOCALISED + SIMPLE + DUMP + GC + GC
    expected = [b"java -version\nNOTE: no time\n", JULI + TRACE, LOCALISED, SIMPLE, DUMP, GC]
    records = Records(1_000_000, re.compile(CATALINA))
    assert bodies(records, everything) == [record[:-1] for record in expected]
    assert bodies(records, everything, quiet=True) == [record[:-1] for record in (*expected, GC)]


def test_an_iso_date_within_a_message_starts_nothing():
    data = JULI + b"2026-11-21 10:00:00 is the time\n"
    assert bodies(Records(1_000_000, re.compile(CATALINA)), data, quiet=True) == [data[:-1]]


def test_crlf_stays_within_a_record():
    assert bodies(Records(100, re.compile(b"a")), b"a\r\nb\r\na\r\n") == [b"a\r\nb"]


def test_lines():
    cut = Records(100).cut(b"one\r\n\n\xfftwo\nrest", 1000, 0)
    assert cut == ([Piece(1000, 1005, b"one"), Piece(1006, 1011, b"\xfftwo")], 1011, 0)


def test_a_long_line_is_cut_where_characters_end():
    cut = Records(4).cut("aüüüb\n".encode(), 0, 0)
    assert [piece.body for piece in cut.pieces] == ["aü".encode(), "üü".encode(), b"b"]
    assert [(piece.number, piece.more) for piece in cut.pieces] == [(1, True), (2, True), (3, False)]


def test_a_long_line_is_cut_before_it_ends_and_goes_on_later():
    records = Records(4)
    first = records.cut(b"abcdefghij", 0, 0)
    assert [piece.body for piece in first.pieces] == [b"abcd", b"efgh"]
    assert records.cut(b"ij\nk\n", first.end, first.number).pieces == [Piece(8, 11, b"ij", 3), Piece(11, 13, b"k")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_line_that_just_fits_is_whole(end):
    records = Records(4)
    assert records.cut(b"abcd" + end[:-1], 0, 0).pieces == []
    assert records.cut(b"abcd" + end, 0, 0).pieces == [Piece(0, 4 + len(end), b"abcd")]


def test_a_record_of_too_many_lines_is_cut_between_lines():
    data = b"start\n" + b"x\n" * (MAX_LINES + 5) + b"start\n"
    first, second = Records(1_000_000, re.compile(b"start")).cut(data, 0, 0).pieces
    assert first.body + second.body == data[:-7]
    assert first.body.count(b"\n") == MAX_LINES
    assert (first.number, first.more, second.number, second.more) == (1, True, 2, False)


def test_a_finished_file_ends_its_last_line():
    assert bodies(Records(100), b"a\nb", finished=True) == [b"a", b"b"]
    assert bodies(Records(100, re.compile(b"a")), b"a\nb", finished=True) == [b"a\nb"]
