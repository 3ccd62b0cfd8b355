"""Kafka is killed under load, with a worker of each level of reliability: each keeps its promise, and no other."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.kafka import LiveKafka
from tests.support.numbered import NumberedClients, arrived
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

OUTAGE_S = 14.0  # longer than the ten seconds after which the producer gives up on a batch
LONG_OUTAGE_S = 120.0
AT_ONCE_S = 8.0  # less than anybody waits for Kafka, and ample for a machine that is busy
PATIENCE_S = 90.0
LEVELS = {"end": "end-to-end", "store": "store-on-failure", "killed": "store-on-failure", "best": "best-effort"}


def flow(of: Worker, name: str, kind: str = "sources") -> dict[str, Any]:
    """A flow of this very worker; the others' are not in the sums as they are of other applications."""
    found = [each for each in of.get_json("/api/flows")[kind] if each["name"] == name]
    (told,) = found
    return told


def metrics(of: Worker) -> dict[tuple[str, str], float]:
    text = of.get("/metrics").text
    return {
        (sample.name, sample.labels["flow"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if set(sample.labels) == {"flow", "kind"}
    }


def settled(of: Worker, clients: NumberedClients) -> dict[str, Any]:
    """The source's counts when they are of all that was sent: reports are two seconds apart."""

    def counted() -> dict[str, Any] | None:
        told = flow(of, "http")
        return told if told["received"] == len(clients.answers) and is_balanced(told) else None

    return wait_until(counted, PATIENCE_S, f"a balance of {clients.hosts[0]}") or {}


def is_balanced(told: dict[str, Any]) -> bool:
    return told["received"] == told["sent"] + sum(told["rejected"].values()) + told["in_spool"]


def test_each_level_keeps_its_promise_while_kafka_is_away(
    fresh_kafka: LiveKafka, worker: Workers, pytestconfig: pytest.Config
) -> None:
    outage_s = LONG_OUTAGE_S if pytestconfig.getoption("--fault-minutes") else OUTAGE_S
    workers = {
        name: worker(
            broker=fresh_kafka.url,
            roles="ingest",
            app_id=name,
            settings={"SLUICE_RELIABILITY": level},
            ready=False,
        )
        for name, level in LEVELS.items()
    }
    for each in workers.values():
        each.wait_ready()
    clients = {name: NumberedClients(each.url, name, insist=name != "best") for name, each in workers.items()}
    for name, each in clients.items():
        wait_until(lambda each=each: len(each.answers) > 20, PATIENCE_S, f"load on {name}")

    fresh_kafka.service.kill()
    away_at_s = time.monotonic()
    wait_until(lambda: flow(workers["store"], "http")["in_spool"] > 5, PATIENCE_S, "events in the spool")
    wait_until(lambda: flow(workers["killed"], "http")["in_spool"] > 5, PATIENCE_S, "events in the other spool")
    spooled = flow(workers["store"], "spool", "destinations")
    assert spooled["in_spool"] > 5
    assert spooled["in_spool_bytes"] > 5 * 20
    assert time.time() - 300 < spooled["oldest_in_spool_at_ms"] / 1000 < time.time() + 1
    shown = metrics(workers["store"])
    assert shown["sluice_flow_in_spool", "http"] > 5
    assert shown["sluice_flow_in_spool_bytes", "spool"] > 0
    assert shown["sluice_flow_in_spool_oldest_timestamp_seconds", "spool"] > time.time() - 300

    workers["killed"].kill()
    killed_at_s = time.monotonic()
    workers["killed"].start(ready=False)
    wait_until(
        lambda: any(each.status == 200 and each.began_s > killed_at_s for each in clients["killed"].answers),
        PATIENCE_S, "the restarted worker to take events without Kafka",
    )  # fmt: skip

    def found_again() -> dict[str, Any] | None:
        told = flow(workers["killed"], "http")
        return told if told["in_spool"] > 5 else None

    found = wait_until(found_again, PATIENCE_S, "the restarted worker to tell of its spool", retry_on=ValueError) or {}
    assert found["sent"] == 0, "nothing new may overtake what was found"
    wait_until(lambda: any(each.status == 503 for each in clients["end"].answers), PATIENCE_S, "503 of end-to-end")
    # The outage is to be so long, whatever came to pass sooner.
    time.sleep(max(0.0, away_at_s + outage_s - time.monotonic()))
    fresh_kafka.service.start()
    back_at_s = time.monotonic()

    for name in ("store", "killed"):
        wait_until(lambda name=name: not flow(workers[name], "http")["in_spool"], PATIENCE_S, f"{name}'s empty spool")
    for name, each in clients.items():
        wait_until(
            lambda name=name: flow(workers[name], "raw-log", "destinations")["sent"] > 100
            and workers[name].get("/ready").status_code == 200,
            PATIENCE_S, f"events of {name} in Kafka",
        )  # fmt: skip
        wait_until(
            lambda each=each: len([one for one in each.since(back_at_s) if one.status == 200]) > 20,
            PATIENCE_S, f"{name}'s clients to be answered 200 again",
        )  # fmt: skip
        each.stop()
    wait_until(lambda: not flow(workers["store"], "http")["in_spool"], PATIENCE_S, "an empty spool at the end")
    wait_until(lambda: not flow(workers["killed"], "http")["in_spool"], PATIENCE_S, "the other spool, empty")
    told = {name: settled(each, clients[name]) for name, each in workers.items() if name != "killed"}
    records = fresh_kafka.consume("raw-log")

    for name in ("end", "store", "killed"):
        for host in clients[name].hosts:
            order = arrived(records, host)
            assert order == sorted(order), f"{host}'s events are out of order"
            missing = set(clients[name].acknowledged(host)) - set(order)
            assert not missing, f"{len(missing)} acknowledged events of {host} are lost: {sorted(missing)[:5]}"
    statuses = {name: Counter(one.status for one in each.answers) for name, each in clients.items()}
    assert set(statuses["end"]) == {200, 503}
    assert set(statuses["store"]) == {200}
    assert set(statuses["killed"]) <= {200, 0}, "only its end may leave a request without an answer"
    assert set(statuses["best"]) == {200}

    assert max(one.took_s for one in clients["best"].answers) < AT_ONCE_S
    best = told["best"]
    dropped = sum(best["rejected"].values())
    assert set(best["rejected"]) <= {"dropped_broker_unavailable", "dropped_overloaded"}
    assert dropped > 0
    assert best["accepted"] == best["received"] == statuses["best"][200] == best["sent"] + dropped
    in_kafka = sum(len(arrived(records, host)) for host in clients["best"].hosts)
    assert best["sent"] <= in_kafka < best["accepted"]  # an unanswered batch may have got there all the same

    assert told["end"]["sent"] == told["end"]["accepted"] == statuses["end"][200]
    assert told["end"]["rejected"]["broker_unavailable"] == statuses["end"][503]
    wait_until(lambda: is_balanced(flow(workers["killed"], "http")), PATIENCE_S, "a balance of killed")
    assert told["store"]["accepted"] == told["store"]["sent"] == statuses["store"][200]
    for each in workers.values():
        each.stop()
