"""The syslog source of a real worker under attack, and with Kafka killed under it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from deploy.cluster.process import free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.syslog import is_balanced, routes_file, send_datagrams, source_flow, tcp_client
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
OUTAGE_S = 12.0  # longer than the ten seconds after which the producer gives up on a batch
LONG_OUTAGE_S = 120.0
IDLE = 1_500
MEBIBYTE = 1 << 20


def new_worker(worker: Workers, kafka: LiveKafka, tmp_path: Path, *options: str) -> tuple[Worker, int]:
    port = free_port()
    listen = f'listen = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}"]'
    routes = routes_file(tmp_path, "\n".join(['name = "syslog"', 'kind = "syslog"', listen, *options]))
    return worker(broker=kafka.url, roles="ingest", settings={"SLUICE_ROUTES": routes}), port


class Client:
    """A host that sends numbered lines over one connection as fast as it is read, until it is stopped."""

    def __init__(self, port: int, host: str) -> None:
        self.host = host
        self.sent = 0
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when all is sent and the connection is closed."""
        self._stop.set()
        self._thread.join(PATIENCE_S + 60)
        assert not self._thread.is_alive(), f"{self.host} did not end"

    def _run(self) -> None:
        with tcp_client(self._port) as client:
            client.settimeout(LONG_OUTAGE_S + PATIENCE_S)
            while not self._stop.is_set():
                numbers = range(self.sent, self.sent + 20)
                client.sendall(b"".join(b"<13>Nov  1 00:00:00 %s %d\n" % (self.host.encode(), n) for n in numbers))
                self.sent += 20
                self._stop.wait(0.05)


def test_tcp_loses_nothing_while_kafka_is_away_and_udp_counts_what_it_drops(
    fresh_kafka: LiveKafka, worker: Workers, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    outage_s = LONG_OUTAGE_S if pytestconfig.getoption("--fault-minutes") else OUTAGE_S
    made, port = new_worker(worker, fresh_kafka, tmp_path, "udp_queue_bytes = 131072")
    clients = [Client(port, f"host-{n}") for n in range(3)]
    datagrams = 0
    wait_until(lambda: source_flow(made, "syslog")["sent"] > 0, PATIENCE_S, "the first lines")
    fresh_kafka.service.kill()
    end_at = time.monotonic() + outage_s
    while time.monotonic() < end_at:
        send_datagrams(port, *(b"<14>Nov  1 00:00:00 udp %d" % n for n in range(datagrams, datagrams + 100)))
        datagrams += 100
        time.sleep(0.2)  # the load's own pace
    fresh_kafka.service.start()
    for client in clients:
        client.stop()
    lines = sum(client.sent for client in clients)

    def settled() -> bool:
        flow = source_flow(made, "syslog")
        return is_balanced(flow) and flow["received"] == lines + datagrams and flow["state"] == "running"

    wait_until(settled, PATIENCE_S, "all to be sent or counted")
    flow = source_flow(made, "syslog")
    dropped = flow["rejected"].pop("udp_queue_full", 0) + flow["rejected"].pop("udp_kernel_drops", 0)
    assert flow["rejected"] == {}
    assert dropped > 0
    records = fresh_kafka.consume("raw-log")
    for client in clients:
        arrived = dict.fromkeys(int(each.value) for each in records if each.key == client.host.encode())
        assert list(arrived) == list(range(client.sent)), client.host
    assert len({each.value for each in records if each.key == b"udp"}) == datagrams - dropped
    made.stop()


def resident_bytes(made: Worker) -> int:
    pages = Path(f"/proc/{made.pid}/statm").read_text("ascii").split()[1]
    return int(pages) * 4096


def test_bad_clients_harm_nobody_else(fresh_kafka: LiveKafka, worker: Workers, tmp_path: Path) -> None:
    made, port = new_worker(worker, fresh_kafka, tmp_path, "max_connections = 1000", "max_message_bytes = 65536")
    good = tcp_client(port)
    good.sendall(b"<13>Nov  1 00:00:00 good first\n")
    wait_until(lambda: source_flow(made, "syslog")["sent"] == 1, PATIENCE_S, "the first message")
    before = resident_bytes(made)
    noise = random.Random(1)
    with contextlib.ExitStack() as open_connections:
        open_connections.enter_context(good)
        refused = 0
        for _ in range(IDLE):  # half-open for all that the worker can tell, and never a word
            idle = open_connections.enter_context(socket.socket())
            idle.bind(("127.0.0.2", 0))
            idle.settimeout(PATIENCE_S)
            try:
                idle.connect(("127.0.0.1", port))
            except OSError:
                refused += 1
        # A line without an end, noise, and a client that sends a byte now and then.
        endless = open_connections.enter_context(tcp_client(port, source="127.0.0.3"))
        endless.sendall(b"<13>" + b"x" * (16 * MEBIBYTE))
        noisy = open_connections.enter_context(tcp_client(port, source="127.0.0.3"))
        for _ in range(20):
            noisy.sendall(noise.randbytes(50_000))
        slow = open_connections.enter_context(tcp_client(port, source="127.0.0.3"))
        for byte in b"<13>Nov  1 00:00:00 slow and steady\n":
            slow.sendall(bytes((byte,)))
        good.sendall(b"<13>Nov  1 00:00:00 good last\n")

        def arrived() -> set[bytes]:
            return {each.value for each in fresh_kafka.consume("raw-log") if each.key in (b"good", b"slow")}

        wait_until(lambda: arrived() >= {b"first", b"last", b"and steady"}, PATIENCE_S, "the good ones' messages")

        def turned_away() -> int:
            troubles = source_flow(made, "syslog")["notes"].get("troubles", {})
            return int(troubles.get("too_many_of_one_peer", 0) + troubles.get("silent", 0) + refused)

        # What workers report is a second old or so.
        wait_until(
            lambda: turned_away() >= IDLE - 500, PATIENCE_S, "the report to tell of those that were one too many"
        )
        assert source_flow(made, "syslog")["notes"]["connections"] <= 500 + 4
        assert resident_bytes(made) - before < 150 * MEBIBYTE
    wait_until(lambda: source_flow(made, "syslog")["notes"]["connections"] == 0, PATIENCE_S, "all to be gone")
    wait_until(lambda: is_balanced(source_flow(made, "syslog")), PATIENCE_S, "the sums")
    assert made.log.count("reason=too_many_of_one_peer") <= 3  # once a minute, not for each
    made.stop()
