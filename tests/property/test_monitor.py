"""Windows are a function of the records: not of batches, crashes or replays. And they are what a model counts."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from config.routes import AccessLogRoute, BusinessRoute, Metric
from tables import span
from tables.access_query import access_top, access_windows
from tables.business_query import business_windows
from tables.memory import MemoryStore
from tests.support.monitoring import (
    EPOCH_MS,
    ORDERS,
    RETENTION_S,
    WINDOW_S,
    Model,
    Monitored,
    Raw,
    access_headers,
    access_line,
    business_headers,
    business_line,
)

CLOCK = {"window_s": WINDOW_S, "retention_s": RETENTION_S}

# How far a record's arrival is from the one before it, and its event from its arrival: mostly near, sometimes far.
steps = st.sampled_from((0, 0, 1, 400, 3_000, 9_000, 25_000, -4_000, -30_000, 200_000))
lags = st.sampled_from((0, 0, 1_000, 8_000, 15_000, 45_000, 59_000, 70_000, 130_000, -20_000, -299_000, -400_000))


@st.composite
def raw_records(draw, max_size=60):
    records, arrival_ms, offset = [], EPOCH_MS, draw(st.integers(0, 3))
    for _ in range(draw(st.integers(1, max_size))):
        arrival_ms = max(arrival_ms + draw(steps), EPOCH_MS - 100_000)
        at_ms = (arrival_ms - draw(lags)) // 1000 * 1000
        kind = draw(st.sampled_from(("access", "access", "access", "orders", "orders", "other", "broken")))
        if kind == "access":
            headers = access_headers(draw(st.sampled_from(("shop", "blog"))), draw(st.sampled_from(("a", "b", "c"))))
            duration_ms = draw(st.sampled_from((None, 0.1, 0.2, 0.7, 3.3, 1234.567)))
            status = draw(st.sampled_from((200, 404, 500)))
            value = access_line(at_ms, f"/{draw(st.integers(0, 6))}", status, draw(st.integers(0, 999)), duration_ms)
        elif kind == "orders":
            headers = business_headers()
            fields = {"status": draw(st.sampled_from(("paid", "open", None, "lost", "sent", "back")))}
            if draw(st.booleans()):
                fields["amount"] = draw(st.sampled_from((0.1, 0.2, 0.7, -3.3, 1e17, 1e-3)))
            fields["items"] = draw(st.sampled_from((1, 2, 2**53 + 1)))
            value = business_line(at_ms, **fields)
        else:
            headers = access_headers() if kind == "broken" else (("type", b"catalina"),)
            value = b"not an access line"
        records.append(Raw(offset, arrival_ms, value, headers))
        offset += draw(st.sampled_from((1, 1, 1, 2)))  # transaction markers take offsets, too
    return records


def run_in_batches(draw, monitored, records):
    """Process with crashes: before a commit (it never happened) and after one (all memory is lost)."""
    at = 0
    while at < len(records):
        batch = records[at : at + draw(st.integers(1, 20))]
        event = draw(st.sampled_from(("commit", "commit", "commit", "crash before", "crash after")))
        if event == "crash before":
            monitored.monitor.process(batch, 0)
            monitored.monitor.discard()
            batch = records[at : at + draw(st.integers(1, 20))]
        monitored.run(batch)
        if event == "crash after":
            monitored.monitor.discard()
        at += len(batch)
    return monitored.drain()


def run_at_once(records, **options):
    monitored = Monitored(**options)
    monitored.run(records)
    return dict(monitored.drain())


@given(st.data(), raw_records(), st.sampled_from((2, 1000)))
@settings(max_examples=150, deadline=None)
def test_batches_and_crashes_change_nothing(data, records, max_keys):
    content = run_in_batches(data.draw, Monitored(max_keys=max_keys), records)
    assert content == run_at_once(records, max_keys=max_keys)


@given(st.data(), raw_records(), st.sampled_from((2, 1000)))
@settings(max_examples=250, deadline=None)
def test_replay_gives_the_same_store(data, records, max_keys):
    monitored = Monitored(max_keys=max_keys)
    expected = dict(run_in_batches(data.draw, monitored, records))
    for _ in range(data.draw(st.integers(1, 3))):
        log_start = data.draw(st.integers(0, records[-1].offset + 1))
        offset = data.draw(st.integers(log_start, records[-1].offset + 1))
        rewind = monitored.monitor.rewind(offset, log_start)
        assert log_start <= rewind.start_offset <= offset
        monitored.store.write(rewind.changes)
        if data.draw(st.booleans()):  # a crash on the way, and the replay goes on with what Kafka still has
            monitored.run([record for record in records if record.offset >= rewind.start_offset][: len(records) // 2])
            monitored.monitor.discard()
        run_in_batches(data.draw, monitored, [record for record in records if record.offset >= rewind.start_offset])
        assert monitored.store.content == expected


@given(st.data(), raw_records())
@settings(max_examples=60, deadline=None)
def test_replay_from_the_beginning_with_other_routes_is_a_fresh_run_with_them(data, records):
    changed = {
        "access": AccessLogRoute(("common",), 10.1),
        "business": [
            BusinessRoute("orders", "orders", "json", None, "ts", {"items": "int"}, "listed", (), ()),
            BusinessRoute(
                "copies", "*", "json", None, None, {"items": "int"}, "all", ("items",), (Metric("n", "max", "items"),)
            ),
        ],
    }
    store = MemoryStore()
    run_in_batches(data.draw, Monitored(store=store), records)
    replayed = Monitored(store=store, **changed)
    store.write(replayed.monitor.rewind(0, 0).changes)
    assert store.content == {}
    assert run_in_batches(data.draw, replayed, records) == run_at_once(records, **changed)


@given(raw_records())
@settings(max_examples=60, deadline=None)
def test_processing_again_without_a_rewind_changes_nothing(records):
    monitored = Monitored()
    monitored.run(records)
    expected = dict(monitored.drain())
    monitored.run(records)
    assert monitored.drain() == expected


def count(records):
    """The model, fed with records as their makers have made them."""
    model = Model()
    for record in records:
        model.add(record)
    return model


@given(st.data(), st.lists(raw_records(max_size=40), min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_answers_over_partitions_are_what_a_model_counts(data, partitions):
    stores = []
    for partition, records in enumerate(partitions):
        monitored = Monitored(partition=partition)
        run_in_batches(data.draw, monitored, records)
        stores.append(monitored.store)
    models = [count(records) for records in partitions]
    oldest_s = max(model.clock_s for model in models) - RETENTION_S

    step_s = data.draw(st.sampled_from((WINDOW_S, 3 * WINDOW_S)))
    windows = access_windows(stores, step_s=step_s, **CLOCK)
    expected = {}
    for model in models:
        for (start_s, service, _), requests in model.requests.items():
            if start_s >= oldest_s:
                cell = start_s // step_s * step_s, service
                expected[cell] = expected.get(cell, 0) + requests
    assert {(row["start"], row["service"]): row["requests"] for row in windows} == expected
    for row in windows:
        assert sum(row["status"].values()) == row["requests"]

    def total(name):
        return sum(
            number
            for model in models
            for key, number in getattr(model, name).items()
            if (key if isinstance(key, int) else key[0]) >= oldest_s
        )

    assert sum(row["bytes"] for row in windows) == total("bytes")
    durations = [ms for model in models for at, took in model.durations.items() if at >= oldest_s for ms in took]
    assert max((row["latency_ms"]["max"] or 0 for row in windows), default=0) == max(durations, default=0)
    top = access_top(stores, n=1000, **CLOCK)["most_requested"]
    assert sum(row["requests"] for row in top) == total("requests")
    orders = business_windows(stores, ORDERS, **CLOCK)
    assert sum(row["count"] for row in orders) == total("orders")
    assert sum(row["pieces"] for row in orders) == total("pieces")
    outside = span.outside(stores, RETENTION_S)
    assert sum(sum(kinds.values()) for kinds in outside.values()) == total("outside")


texts = st.text(alphabet=st.characters(), max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
bodies = st.one_of(
    st.none(),
    st.binary(max_size=200),
    texts,
    st.dictionaries(st.sampled_from(("ts", "status", "amount", "items", "x")), json_values).map(
        lambda fields: json.dumps(fields).encode()
    ),
    st.builds(
        lambda path, status, size: b'h - - [15/Jan/2027:08:00:00 +0000] "GET %s HTTP/1.1" %d %d' % (path, status, size),
        texts,
        st.integers(-1, 10**30),
        st.integers(-1, 10**30),
    ),
)
header_values = st.one_of(st.sampled_from((b"access_log", b"business", b"orders", None)), texts, st.binary(max_size=20))
headers = st.lists(
    st.tuples(st.sampled_from(("type", "logger", "host", "service", "timestamp", "reason")), header_values), max_size=6
).map(tuple)


@given(st.lists(st.tuples(headers, bodies, st.integers(-1, 2**41)), max_size=20))
@settings(max_examples=300, deadline=None)
def test_nothing_in_a_record_stops_its_partition(hostile):
    monitored = Monitored(business=(ORDERS, replace(ORDERS, name="all", logger="*", timestamp=None, keep="all")))
    records = [Raw(offset, arrival_ms, body, headers) for offset, (headers, body, arrival_ms) in enumerate(hostile)]
    outcome = monitored.run(records)
    for tally in outcome.tallies.values():
        assert "internal_error" not in tally.rejected
        assert tally.received == tally.sent + sum(tally.rejected.values())
    letters = [forward for forward in outcome.forwards if forward.topic == "dead-letter"]
    for letter in letters:
        dict(letter.headers)["error"].decode()
    answers = [access_windows([monitored.store], **CLOCK), access_top([monitored.store], **CLOCK)]
    orjson.dumps([*answers, business_windows([monitored.store], ORDERS, **CLOCK)])
