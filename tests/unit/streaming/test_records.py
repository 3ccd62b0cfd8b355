"""Records as columns are a sequence of records."""

import pytest

from streaming.records import Record, Records

A, B = (("type", b"a"),), (("type", b"b"), ("host", None))


def record(offset: int, headers: tuple[tuple[str, bytes | None], ...] = A) -> Record:
    return Record(offset, 1000 + offset, b"k", b"%d" % offset, headers)


SOME = [record(3), record(4, B), record(7), record(8, B)]


def test_columns_give_back_the_records_that_they_were_made_of() -> None:
    records = Records.of(SOME)
    assert list(records) == SOME
    assert records == SOME
    assert [records[place] for place in range(-4, 4)] == SOME + SOME
    assert records[1:3] == SOME[1:3]
    assert records.take([0, 3]) == [SOME[0], SOME[3]]
    assert (len(records), len(Records.of([]))) == (4, 0)
    assert Records.of(records) is records
    assert repr(records) == "<4 records from 3 to 8>"
    with pytest.raises(IndexError):
        records[4]


def test_records_that_share_headers_share_their_id() -> None:
    records = Records.of(SOME)
    assert records.header_ids == [0, 1, 0, 1]
    assert records.headers == [A, B]


def test_parts_are_joined_whatever_headers_they_know() -> None:
    first, second = Records.of(SOME[:2]), Records.of(SOME[2:])
    joined = Records.joined([first, second, Records.of([record(9, B)])])
    assert joined == [*SOME, record(9, B)]
    assert (first, second) == (SOME[:2], SOME[2:])
    assert Records.joined([]) == []
    assert Records.joined([first]) is first


def test_offsets_without_holes_stay_a_range() -> None:
    parts = [Records(range(at, at + 2), [1, 2], [None, None], [b"", None], [0, 0], [A]) for at in (0, 2)]
    joined = Records.joined(parts)
    assert joined.offsets == range(4)
    assert joined[1:3].offsets == range(1, 3)


def test_the_place_of_an_offset_is_that_of_the_first_record_not_before_it() -> None:
    records = Records.of(SOME)
    assert [records.place_of(offset) for offset in (0, 3, 4, 5, 7, 8, 9)] == [0, 0, 1, 2, 2, 3, 4]
    assert Records.of([]).place_of(5) == 0
