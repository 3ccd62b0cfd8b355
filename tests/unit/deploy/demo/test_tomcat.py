"""What an instance logs is what Sluice's shipped routes read."""

from __future__ import annotations

import json
import random
import re
from collections import Counter

import pytest

from config.routes import load
from config.settings import SHIPPED_ROUTES
from deploy.demo.event import ACCESS_LOG, BUSINESS, CATALINA, LogEvent
from deploy.demo.tomcat import PAGES, Tomcat
from deploy.demo.weather import INCIDENTS, Incident
from parsers.errors import ParseError
from parsers.tomcat import compile_pattern, compile_patterns

NOW_S = 1_795_245_570.25
ROUTES = load(SHIPPED_ROUTES, check_pattern=compile_pattern)
ACCESS = compile_patterns(ROUTES.access_log.patterns, ROUTES.access_log.tomcat)
CATALINA_START = re.compile(r"\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}:\d{2}\.\d{3} \S+ \[")


def traffic(service: str, n: int = 4000, incident: Incident | None = None, seed: int = 7) -> list[LogEvent]:
    tomcat = Tomcat(service, "web-1", random.Random(seed))
    return [event for _ in range(n) for event in tomcat.request(NOW_S, incident)]


def of(kind: str, events: list[LogEvent]) -> list[str]:
    return [event.text for event in events if event.type == kind]


def parsed(events: list[LogEvent]) -> tuple[list, int]:
    records, torn = [], 0
    for line in of(ACCESS_LOG, events):
        try:
            records.append(ACCESS.parse(line.encode()))
        except ParseError:
            torn += 1
    return records, torn


@pytest.mark.parametrize("service", sorted(PAGES))
def test_all_access_lines_parse_but_for_a_few_that_are_torn(service):
    records, torn = parsed(traffic(service))
    assert len(records) + torn == 4000
    assert 1 <= torn <= 40
    assert {record.ts for record in records} == {1_795_245_570_000}
    assert all(record.duration_ms is not None for record in records)
    assert any(record.path is None for record in records)  # a request that Tomcat could not read
    assert {record.method for record in records} >= {"GET", "POST"}
    assert all(record.user_agent and "\\" not in record.user_agent for record in records)


def test_an_incident_is_seen_in_statuses_and_latencies_of_its_service_alone():
    shop, account = INCIDENTS
    assert (shop.service, account.service) == ("shop", "account")
    calm, _ = parsed(traffic("shop"))
    bad, _ = parsed(traffic("shop", incident=shop))
    spared, _ = parsed(traffic("shop", incident=account))

    def failing(records):
        return sum(record.status >= 500 for record in records) / len(records)

    def mean_ms(records):
        return sum(record.duration_ms for record in records) / len(records)

    assert failing(calm) < 0.01 < 0.15 < failing(bad) < 0.3
    assert mean_ms(bad) > 5 * mean_ms(calm)
    assert failing(spared) < 0.01


def test_orders_are_what_the_shipped_route_reads():
    (route,) = ROUTES.business
    orders = []
    for text in of(BUSINESS, traffic("shop")):
        try:
            orders.append(json.loads(text))
        except ValueError:
            continue  # torn
    assert len(orders) > 100
    assert all(set(route.fields) | {route.timestamp} <= set(order) for order in orders)
    assert {order["ts"] for order in orders} == {1_795_245_570_250}
    assert len({order["order_id"] for order in orders}) == len(orders)
    assert Counter(order["status"] for order in orders).most_common(1)[0][0] == "paid"
    assert all(event.logger == "orders" for event in traffic("shop") if event.type == BUSINESS)
    assert of(BUSINESS, traffic("account")) == []


def test_a_stack_trace_is_one_record_with_what_caused_it():
    records = of(CATALINA, traffic("account", incident=INCIDENTS[1]))
    traces = [record for record in records if "\n" in record]
    assert len(traces) > 100
    for record in records:
        first, *rest = record.split("\n")
        assert CATALINA_START.match(first)
        assert all(line.startswith("\t") for line in rest)
    assert all("\tCaused by: java.sql." in trace and trace.endswith(" more") for trace in traces if "jdbc" in trace)
    assert not any("{" in record.replace("${x}", "") for record in records)


def test_the_same_seed_gives_the_same_logs():
    assert traffic("shop", 200) == traffic("shop", 200)
    assert traffic("shop", 200) != traffic("shop", 200, seed=8)
