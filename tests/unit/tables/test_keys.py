"""Where windows lie in the store."""

from __future__ import annotations

import orjson

from tables import keys


def test_byte_order_is_order_in_time():
    starts = [0, 10, 255, 256, 1_800_000_000, 2**40]
    for key in (
        keys.epoch_key,
        lambda start: keys.meta_key(start, "t"),
        lambda start: keys.window_prefix("t", "x", start),
    ):
        assert sorted(starts, key=key) == starts


def test_a_meta_key_says_window_and_table():
    assert keys.split_meta_key(keys.meta_key(1_800_000_000, "business-ä")) == (1_800_000_000, "business-ä")


def test_a_windows_keys_end_where_the_next_window_begins():
    inside = keys.window_prefix("access", "s", 10) + b"\xff" * 50
    assert keys.window_prefix("access", "s", 10) <= inside < keys.window_prefix("access", "s", 11)


def test_names_that_json_does_not_take_are_made_to_fit():
    assert orjson.loads(keys.encode_names(["\ud800", None])) == ["?", None]
    assert orjson.loads(keys.encode_names({"n": 2**70, "t": ("a", True)})) == {"n": str(2**70), "t": ["a", True]}


def test_long_texts_are_cut():
    assert keys.short("a" * 400) == "a" * 400
    assert keys.short("a" * 401) == "a" * 400 + "…"
