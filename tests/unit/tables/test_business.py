"""What the business windows count of a record."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from config.routes import Metric
from parsers.business import BusinessColumns
from tables import keys
from tables.business import BusinessTable, GroupSlot
from tables.business_query import business_windows
from tables.memory import MemoryStore
from tests.support.monitoring import ORDERS

CLOCK = {"window_s": 10, "retention_s": 60}


def count(*fields, route=ORDERS, store=None, first=0, max_keys=100):
    """A store with one window of records with these fields."""
    store = MemoryStore() if store is None else store
    table = BusinessTable(route, store, max_keys)
    for offset, each in enumerate(fields, first):
        table.add_many(0, [offset], [(None, None)], BusinessColumns([None], [each]))
    changes = {}
    table.collect(changes)
    store.write(changes)
    return store


def rows(store, route=ORDERS):
    return business_windows([store], route, **CLOCK)


def test_metrics_of_a_group():
    (row,) = rows(count({"status": "paid", "amount": 1.5, "items": 2}, {"status": "paid", "amount": -0.5, "items": 3}))
    amount = row.pop("amount")
    assert row == {
        "start": 0,
        "key": {"status": "paid"},
        "count": 2,
        "revenue": 1.0,
        "pieces": 5,
        "least": -0.5,
        "most": 3,
    }
    assert amount == {"p50": pytest.approx(-0.5, rel=0.02), "p95": 1.5, "p99": 1.5, "max": 1.5}


def test_what_is_missing_is_counted_and_not_measured():
    (row,) = rows(count({"status": None, "amount": None, "items": None}))
    assert row == {
        "start": 0,
        "key": {"status": None},
        "count": 1,
        "revenue": 0,
        "pieces": 0,
        "least": None,
        "most": None,
        "amount": {"p50": None, "p95": None, "p99": None, "max": None},
    }


def test_groups_have_rows_of_their_own():
    store = count(*[{"status": status} for status in ("paid", "open", "paid")])
    assert [(row["key"]["status"], row["count"]) for row in rows(store)] == [("open", 1), ("paid", 2)]


def test_groups_beyond_the_limit_are_other():
    route = replace(ORDERS, group_by=("status", "items"))
    store = count(*[{"status": "s", "items": number} for number in range(5)], route=route, max_keys=2)
    assert [(row["key"], row["count"]) for row in rows(store, route)] == [
        ({"status": "other", "items": "other"}, 3),
        ({"status": "s", "items": 0}, 1),
        ({"status": "s", "items": 1}, 1),
    ]


def test_without_group_by_there_is_one_row():
    route = replace(ORDERS, group_by=())
    store = count({"items": 1}, {"items": 2}, route=route, max_keys=1)
    assert [(row["key"], row["count"], row["pieces"]) for row in rows(store, route)] == [({}, 2, 3)]


def test_integers_add_up_exactly_and_floats_in_order():
    store = count(*[{"items": 2**62, "amount": amount} for amount in (1e16, 1.0, 1.0, 1.0)])
    (key,) = (key for key in store.content if key.startswith(keys.family_prefix("business-orders", "g")))
    states = orjson.loads(store.content[key])["m"]
    assert states["pieces"][2] == str(2**64)
    assert states["revenue"][2] == 1e16 + 1.0 + 1.0 + 1.0
    assert rows(store)[0]["pieces"] == float(2**64)  # JSON has no integer of that size that all readers take


def test_a_window_goes_on_where_it_was():
    fields = [{"status": "paid", "amount": amount, "items": 1} for amount in (0.1, 0.2, 0.7, 1e17)]
    in_two = count(*fields[2:], store=count(*fields[:2]), first=2)
    assert in_two.content == count(*fields).content


def test_a_record_that_is_counted_is_not_counted_again():
    store = count({"status": "paid"})
    assert count({"status": "paid"}, store=store).content == count({"status": "paid"}).content


def test_windows_of_other_metrics_keep_their_count():
    store = count({"status": "paid", "amount": 5.0, "items": 2})
    changed = replace(ORDERS, metrics=(Metric("revenue", "max", "amount"), Metric("pieces", "sum", "items")))
    assert rows(store, changed) == [
        {"start": 0, "key": {"status": "paid"}, "count": 1, "revenue": None, "pieces": 2},
    ]
    count({"status": "paid", "amount": 7.0, "items": 1}, route=changed, store=store, first=1)
    assert rows(store, changed) == [{"start": 0, "key": {"status": "paid"}, "count": 2, "revenue": 7.0, "pieces": 3}]


def test_long_group_values_are_cut():
    store = count({"status": "x" * 10_000}, {"status": "x" * 20_000})
    assert [(len(row["key"]["status"]), row["count"]) for row in rows(store)] == [(401, 2)]


def test_a_slot_comes_back_as_it_was():
    slot = GroupSlot(ORDERS.metrics)
    slot.add_many([{"amount": 0.1, "items": 2**63 - 1}])
    again = GroupSlot(ORDERS.metrics)
    again.merge(slot.encode())
    assert again.encode() == slot.encode()
