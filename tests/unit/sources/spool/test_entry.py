"""Events as bytes in the spool, and back."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsers.event import Event
from sources.spool.entry import Entry, EntryHead, decode, decode_head, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
events = st.builds(Event, st.dictionaries(texts, texts, max_size=3), st.binary(max_size=50))


@given(texts, st.lists(events, max_size=5), st.integers(0, 2**63))
def test_what_was_encoded_comes_back(source, events, arrived_at_ms):
    stored = encode(source, events, arrived_at_ms)
    assert decode(stored) == Entry(arrived_at_ms, source, events)
    assert decode_head(stored) == EntryHead(arrived_at_ms, len(events), source)


def test_equal_headers_are_stored_once_and_shared():
    headers = {"host": "a" * 1000}
    stored = encode("http", [Event(headers, b"1"), Event(dict(headers), b"2"), Event({}, b"3")], 1)
    assert len(stored) < 1200
    first, second, third = decode(stored).events
    assert first.headers is second.headers
    assert third.headers == {}


@given(st.binary(max_size=80), st.integers(0, 79))
def test_anything_else_is_an_error(noise, cut):
    whole = encode("http", [Event({"a": "b"}, b"c" * 30)], 1)
    for torn in (noise, whole[:cut], whole + noise + b"!"):
        if torn != whole:
            with pytest.raises((ValueError, struct.error)):
                decode(torn)
