"""Clients that mean harm against a real worker: memory stays bounded, others are served, each kind is counted once."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import re
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

from deploy.cluster.process import LOCALHOST, free_port
from parsers.event import Event
from tests.support.attack import Attack
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.rpc import avro_frame, avro_handshake, avro_request, thrift_frame, thrift_request
from tests.support.worker import Worker, Workers

pytestmark = pytest.mark.kafka

PATIENCE_S = 60.0
MANY = 1_000
VERY_MANY = 10_000
WHILE_S = 1.5  # that each attack goes on, once it is there
MEBIBYTE = 1 << 20


class Bystander:
    """A client that does all right, now on a new connection and now on an old one; keeps how long each post took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.took_s: list[float] = []
        self.failed: list[str] = []

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(90)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        session = requests.Session()
        session.trust_env = False
        number = 0
        while not self._stop.wait(0.05):
            if number % 2:
                session.close()
            number += 1
            body = json.dumps([{"headers": {"host": "good"}, "body": f"event {number}"}])
            started = time.monotonic()
            try:
                answer = session.post(f"{self._url}/logCollect2", data=body, timeout=60)
            except requests.RequestException as error:
                self.failed.append(repr(error))
            else:
                if answer.status_code != 200:
                    self.failed.append(f"{answer.status_code} {answer.text[:200]}")
            self.took_s.append(time.monotonic() - started)

    def assert_unharmed(self) -> None:
        """All posts answered 200, most at once, none late. The bounds are a machine's on which all else runs too."""
        assert not self.failed, self.failed[:5]
        assert len(self.took_s) >= 5
        took = sorted(self.took_s)
        assert took[len(took) // 2] < 1.0, f"the median of {len(took)} posts took {took[len(took) // 2]:.2f} s"
        assert took[-1] < 10.0, f"the slowest of {len(took)} posts took {took[-1]:.2f} s"


class Target(NamedTuple):
    """The worker under attack, and its ports."""

    worker: Worker
    ports: dict[str, int]
    started_at: float

    @property
    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.worker.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.worker.pid}/fd"))

    @property
    def free_descriptor(self) -> int:
        """The number that the next file would get."""
        taken = set(os.listdir(f"/proc/{self.worker.pid}/fd"))
        return next(number for number in itertools.count() if str(number) not in taken)

    def flow(self, name: str) -> dict[str, Any]:
        """What the worker last said of a source."""
        (flow,) = [flow for flow in self.worker.get_json("/api/flows")["sources"] if flow["name"] == name]
        (of_worker,) = flow["workers"]
        return {**flow, **of_worker}

    def assert_quiet(self) -> None:
        """No traceback, and of each source and reason one line a minute at most."""
        log = self.worker.log
        assert "Traceback" not in log
        told = Counter(re.findall(r"(?:Clients of the web were|Trouble at a source:).*?reason=\w+", log))
        minutes = math.ceil((time.monotonic() - self.started_at) / 60)
        assert not {line: count for line, count in told.items() if count > 1 + minutes}
        assert max(map(len, log.splitlines())) < 1_000


ROUTES = """
[[source]]
name = "syslog"
kind = "syslog"
listen = ["tcp://127.0.0.1:{syslog}", "udp://127.0.0.1:{syslog}"]
[[source]]
name = "thrift"
kind = "thrift"
listen = ["tcp://127.0.0.1:{thrift}"]
[[source]]
name = "avro"
kind = "avro"
listen = ["tcp://127.0.0.1:{avro}"]
"""


@pytest.fixture(scope="module")
def target(fresh_kafka: LiveKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One worker for all attacks: what one leaves behind, the next one meets."""
    directory = tmp_path_factory.mktemp("attacked")
    ports = {name: free_port() for name in ("syslog", "thrift", "avro")}
    routes = directory / "routes.toml"
    routes.write_text(ROUTES.format(**ports))
    workers = Workers(directory)
    try:
        worker = workers(broker=fresh_kafka.url, roles="ingest", settings={"SLUICE_ROUTES": routes})
        yield Target(worker, {"http": worker.port, **ports}, time.monotonic())
    finally:
        workers.kill()


def attacked(target: Target, attacks: list[Attack], connections: int, memory_bytes: int) -> list[Attack]:
    """Run the attacks at once, with a bystander; all of the attackers get to connect, and all is well afterwards."""
    before = target.resident_bytes
    with Bystander(target.worker.url) as bystander:
        with ExitStack() as stack:
            for attack in attacks:
                stack.callback(attack.end)
                attack.begin()
            for attack in attacks:
                attack.wait_opened()
                assert attack.opened.get("connected")
            time.sleep(WHILE_S)
            during, descriptors = target.resident_bytes, target.descriptors
            for attack in attacks:
                attack.call_off()
        posts = len(bystander.took_s)
        wait_until(lambda: len(bystander.took_s) > posts + 5, PATIENCE_S, "a few posts after the attack")
    took = sorted(bystander.took_s)
    print(
        f"{'+'.join(attack.kind for attack in attacks)}: {connections} connections, memory {before / MEBIBYTE:.0f} -> "
        f"{during / MEBIBYTE:.0f} MiB, {descriptors} descriptors; {len(took)} posts, median "
        f"{took[len(took) // 2] * 1000:.0f} ms, slowest {took[-1] * 1000:.0f} ms",
        *(attack.report for attack in attacks),
    )
    wait_until(lambda: target.descriptors < 200, PATIENCE_S, "the attack's connections to be closed")
    assert during - before < memory_bytes
    target.assert_quiet()
    bystander.assert_unharmed()
    return attacks


def test_thousands_of_connections_that_do_little(target: Target, pytestconfig: pytest.Config) -> None:
    """A thousand in all; where there is time, ten thousand of each kind."""
    kinds = ("idle", "keep_alive", "slow_heads", "slow_bodies")
    if pytestconfig.getoption("--fault-minutes"):
        rounds = [{kind: VERY_MANY} for kind in kinds]
    else:
        rounds = [dict.fromkeys(kinds, MANY // len(kinds))]
    for attacks in rounds:
        in_all = sum(attacks.values())
        memory_bytes = in_all * 40_000 + 50 * MEBIBYTE
        done = [Attack(kind, target.ports["http"], connections) for kind, connections in attacks.items()]
        attacked(target, done, in_all, memory_bytes)
        for attack in done:  # on a slow machine the first have been closed before the last have come
            assert attack.opened == {"connected": attacks[attack.kind]}
            assert sum(attack.report.values()) == attacks[attack.kind]


@pytest.mark.parametrize(
    ("kinds", "memory_bytes"),
    [
        (
            {
                "slow_chunks": 100,
                "half_closed": 100,
                "never_reading": 50,
                "pipelining": 2,
                "garbage": 5,
                "near_misses": 5,
                "large_heads": 1_200,
                "endless_heads": 3,
            },
            250 * MEBIBYTE,
        ),
        ({"stalled_bodies": 25}, 512 * MEBIBYTE),
    ],
    ids=["of all kinds", "large bodies"],
)
def test_the_web_serves_others_meanwhile(target: Target, kinds: dict[str, int], memory_bytes: int) -> None:
    attacks = [Attack(kind, target.ports["http"], connections) for kind, connections in kinds.items()]
    attacked(target, attacks, sum(kinds.values()), memory_bytes)


def test_what_the_web_refuses_is_counted_once_by_reason(target: Target) -> None:
    wait_until(
        lambda: target.flow("http")["notes"].get("connections_refused", {}).get("malformed", 0) > 0,
        PATIENCE_S,
        "the report to say so",
    )
    refused = target.flow("http")["notes"]["connections_refused"]
    assert set(refused) <= {
        *("malformed", "large_head", "large_heads", "pipelined", "slow_head", "slow_reader", "unread_answers"),
        *("too_many_connections", "evicted_silent", "evicted_idle", "evicted_slow_body", "no_descriptors"),
    }


_EVENT = Event({"host": "good"}, b"a right one")
_RIGHT = {
    "syslog": b"<13>Oct 11 22:14:15 good app: a right one\n",
    "thrift": thrift_frame(thrift_request("compact", "append", [_EVENT])),
    "avro": avro_frame(1, avro_handshake() + avro_request("append", [_EVENT])),
}


@pytest.mark.parametrize("name", ["syslog", "thrift", "avro"])
def test_other_ports_serve_others_meanwhile(target: Target, name: str) -> None:
    kinds = {"idle": 200, "silence_in_the_middle": 200, "garbage": 10, "gigantic_lengths": 5}
    if name != "syslog":  # which answers nothing
        kinds["never_reading"] = 20
    port = target.ports[name]
    served = threading.Event()
    problems: list[str] = []

    def deliver() -> None:
        """A client of this very port that does all right, with a connection for each event."""
        while not served.wait(0.1):
            try:
                with socket.create_connection((LOCALHOST, port), timeout=60) as client:
                    client.sendall(_RIGHT[name])
                    if name == "syslog":
                        client.shutdown(socket.SHUT_WR)
                        if client.recv(100):
                            problems.append("syslog answered")
                    elif not client.recv(100):
                        problems.append("no answer")
            except OSError as error:
                problems.append(repr(error))

    client = threading.Thread(target=deliver, daemon=True)
    client.start()
    try:
        attacks = [Attack(kind, port, count, payload=_RIGHT[name]) for kind, count in kinds.items()]
        attacked(target, attacks, sum(kinds.values()), 300 * MEBIBYTE)
    finally:
        served.set()
        client.join(90)
    assert not problems, problems[:5]

    def accounted() -> bool:
        flow = target.flow(name)
        return flow["received"] > 0 and flow["received"] == flow["sent"] + sum(flow["rejected"].values())

    wait_until(accounted, PATIENCE_S, "received = sent + rejected")
    if name != "syslog":  # any bytes are syslog
        wait_until(lambda: target.flow(name)["notes"].get("troubles"), PATIENCE_S, "the report to tell of troubles")


def test_a_flood_of_datagrams(target: Target) -> None:
    """Any bytes are a syslog message: they go in, or are counted as dropped."""
    rng = random.Random(1)
    before = target.resident_bytes
    with Bystander(target.worker.url) as bystander, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(20_000):
            sender.sendto(rng.randbytes(rng.choice((0, 1, 100, 1_000))), (LOCALHOST, target.ports["syslog"]))
        sender.sendto(rng.randbytes(65_507), (LOCALHOST, target.ports["syslog"]))
        time.sleep(WHILE_S)
        wait_until(lambda: len(bystander.took_s) > 5, PATIENCE_S, "a few posts")
    assert target.resident_bytes - before < 100 * MEBIBYTE
    target.assert_quiet()
    bystander.assert_unharmed()


def test_without_descriptors_it_lives_and_says_so(target: Target) -> None:
    """No more may be opened than there are now: new clients are closed, then the idle ones make room."""
    worker = target.worker
    before = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    attack = Attack("keep_alive", worker.port, 100)
    attack.begin()
    try:
        attack.wait_opened()
        assert attack.opened == {"connected": 100}

        def starved() -> bool:  # again and again, as one that was open just then may be free by now
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (target.free_descriptor, before[1]))
            return "reason=no_descriptors" in worker.log

        try:
            wait_until(starved, PATIENCE_S, "it to notice")
        finally:
            resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, before)
        with Bystander(worker.url) as bystander:
            wait_until(lambda: len(bystander.took_s) > 5, PATIENCE_S, "a few posts")
    finally:
        attack.end()
    bystander.assert_unharmed()
    target.assert_quiet()


def test_after_all_of_it_the_worker_ends_well(target: Target) -> None:
    target.worker.stop()
