"""The services of the tests are the real thing: what the rest of the suite relies on holds for them."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from hdfs import HdfsError, InsecureClient

from deploy.cluster.background import BackgroundCluster
from deploy.cluster.errors import StartFailed
from deploy.cluster.kafka import Kafka
from deploy.cluster.process import ProcessId, ServiceProcess
from deploy.cluster.tomcat import Tomcat, Valve
from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.worker import ROOT


@pytest.mark.kafka
def test_records_come_back_in_order_with_keys_headers_and_timestamps(kafka: LiveKafka) -> None:
    kafka.create_topic("cluster-plain", partitions=2)
    kafka.produce("cluster-plain", [b"one", b"two"], key=b"k", partition=0, headers=[("h", b"\xff")], timestamp_ms=17)
    kafka.produce("cluster-plain", [None], key=b"k", partition=1)

    first, second, third = kafka.consume("cluster-plain")

    assert (first.value, first.key, first.headers, first.timestamp) == (b"one", b"k", (("h", b"\xff"),), 17)
    assert (second.partition, second.offset, second.value) == (0, 1, b"two")
    assert (third.partition, third.value) == (1, None)
    assert kafka.end_offsets("cluster-plain") == {0: 2, 1: 1}


@pytest.mark.kafka
def test_a_deleted_topic_is_gone_and_no_topic_appears_by_itself(kafka: LiveKafka) -> None:
    kafka.create_topic("cluster-gone", cleanup_policy="compact")
    assert "cluster-gone" in kafka.topics()

    kafka.delete_topics("cluster-gone", "cluster-never-there")

    assert "cluster-gone" not in kafka.topics()
    assert kafka.partitions("cluster-gone") == []


@pytest.mark.kafka
async def test_read_committed_sees_committed_transactions_only(kafka: LiveKafka) -> None:
    kafka.create_topic("cluster-transactions")
    kafka.create_topic("cluster-raw")
    producer = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id="cluster-test")
    await producer.start()
    try:
        async with producer.transaction():
            await producer.send_and_wait("cluster-transactions", b"committed")
            await producer.send_offsets_to_transaction({TopicPartition("cluster-raw", 0): 41}, "cluster-group")
        await producer.begin_transaction()
        await producer.send_and_wait("cluster-transactions", b"aborted")
        await producer.abort_transaction()
    finally:
        await producer.stop()

    assert [record.value for record in kafka.consume("cluster-transactions")] == [b"committed"]
    everything = kafka.consume("cluster-transactions", isolation="read_uncommitted")
    assert [record.value for record in everything] == [b"committed", b"aborted"]
    assert kafka.group_offsets("cluster-group", "cluster-raw") == {0: 41}


@pytest.mark.kafka
@pytest.mark.slow
def test_a_killed_broker_comes_back_on_its_port_with_its_data(fresh_kafka: LiveKafka) -> None:
    fresh_kafka.create_topic("kept", partitions=3)
    fresh_kafka.produce("kept", [b"%d" % number for number in range(1000)])
    address = fresh_kafka.bootstrap

    fresh_kafka.service.kill()
    assert fresh_kafka.service.pids == []
    fresh_kafka.service.start()

    assert fresh_kafka.bootstrap == address
    assert sorted(int(record.value) for record in fresh_kafka.consume("kept")) == list(range(1000))
    fresh_kafka.produce("kept", [b"1000"])
    assert sum(fresh_kafka.end_offsets("kept").values()) == 1001


@pytest.mark.kafka
@pytest.mark.slow
def test_three_brokers_survive_the_loss_of_one(tmp_path: Path) -> None:
    live = LiveKafka(Kafka(tmp_path, brokers=3, heap_mb=256))
    try:
        live.service.start()
        live.create_topic("replicated", partitions=3, replication=3, min_insync_replicas="2")
        live.produce("replicated", [b"before"])
        live.service.kill(0)
        live.produce("replicated", [b"after"])
        values = [record.value for record in live.consume("replicated")]
        assert sorted(values) == [b"after", b"before"]
    finally:
        live.service.kill()


@pytest.mark.hdfs
def test_hdfs_refuses_a_rename_onto_an_existing_file(hdfs: LiveHdfs) -> None:
    folder = hdfs.new_path()
    hdfs.client.write(f"{folder}/first", b"winner")
    hdfs.client.write(f"{folder}/second", b"zombie")

    with pytest.raises(HdfsError):
        hdfs.client.rename(f"{folder}/second", f"{folder}/first")

    assert hdfs.read(f"{folder}/first") == b"winner"
    hdfs.client.rename(f"{folder}/second", f"{folder}/third")
    assert hdfs.files(folder) == [f"{folder}/first", f"{folder}/third"]


@pytest.mark.hdfs
def test_hdfs_enforces_permissions(hdfs: LiveHdfs) -> None:
    hdfs.client.write(f"{hdfs.new_path()}/theirs", b"")
    stranger = InsecureClient(hdfs.url, user="stranger")
    try:
        with pytest.raises(HdfsError, match="Permission denied"):
            stranger.write("/tests/not-mine", b"")
    finally:
        stranger._session.close()


@pytest.mark.hdfs
@pytest.mark.slow
def test_hdfs_keeps_files_over_kills_and_says_when_it_cannot_write(fresh_hdfs: LiveHdfs) -> None:
    big = os.urandom(3_000_000)
    fresh_hdfs.client.write("/kept", big)

    fresh_hdfs.service.kill_namenode()
    fresh_hdfs.service.start_namenode()
    assert fresh_hdfs.read("/kept") == big

    fresh_hdfs.service.kill_datanode()
    with pytest.raises((HdfsError, OSError)):
        fresh_hdfs.client.write("/lost", big)
    assert fresh_hdfs.client.status("/kept")["length"] == len(big)
    fresh_hdfs.service.start_datanode()
    assert fresh_hdfs.read("/kept") == big

    fresh_hdfs.service.set_safe_mode(True)
    with pytest.raises(HdfsError, match="safe mode"):
        fresh_hdfs.client.write("/refused", b"")
    fresh_hdfs.service.set_safe_mode(False)
    fresh_hdfs.client.write("/taken", b"")


_D = Valve('%h %l %u %t "%r" %s %b %D', prefix="timed")
_SHOP = Valve("combined", prefix="shop", context="/shop")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tomcat]:
    service = Tomcat(tmp_path_factory.mktemp("shop"), (Valve(), _D, _SHOP), contexts=("", "/shop"))
    try:
        service.start()
        yield service
    finally:
        service.kill()


@pytest.mark.tomcat
@pytest.mark.parametrize(
    ("request_line", "headers", "logged"),
    [
        ("GET /?a=b HTTP/1.1", "", '- "GET /?a=b HTTP/1.1" 200 58'),
        ("GET /missing HTTP/1.1", "", '- "GET /missing HTTP/1.1" 404 '),
        ("HEAD / HTTP/1.1", "", '- "HEAD / HTTP/1.1" 200 -'),
        ("POST /redirect.jsp HTTP/1.1", "Content-Length: 0\r\n", '- "POST /redirect.jsp HTTP/1.1" 302 -'),
        ("GET /error.jsp HTTP/1.1", "", '- "GET /error.jsp HTTP/1.1" 500 '),
        ("GET /private/ HTTP/1.1", "", '- "GET /private/ HTTP/1.1" 401 '),
        (
            "GET /private/index.html HTTP/1.1",
            f"Authorization: Basic {base64.b64encode(b'Ann Lee:secret').decode()}\r\n",
            'Ann Lee "GET /private/index.html HTTP/1.1" 200 ',
        ),
        ("GET /\x01 nonsense", "", '- "GET null HTTP/1.1" 400 '),
    ],
)
def test_tomcat_logs_each_request(shop: Tomcat, request_line: str, headers: str, logged: str) -> None:
    answer = shop.send(f"{request_line}\r\nHost: shop\r\nConnection: close\r\n{headers}\r\n".encode())

    assert answer.startswith(b"HTTP/1.1 ")
    user, rest = logged.split(' "', 1)
    for valve in (Valve(), _D):
        logs = f"{valve.prefix}.*.txt"
        line = wait_until(lambda logs=logs: _line_with(f'"{rest}', _text(shop, logs)), 10, f"a line with {rest}")
        assert line.startswith(f"127.0.0.1 - {user} [")


@pytest.mark.tomcat
def test_tomcat_logs_a_malformed_request_with_its_stack_trace(shop: Tomcat) -> None:
    assert shop.send(b"\x16\x03\x01\r\n\r\n").startswith(b"HTTP/1.1 400")

    trace = "\tjava.lang.IllegalArgumentException: Invalid character found in"
    wait_until(lambda: trace in shop.catalina_out.read_text(), 10, "the stack trace in catalina.out")


@pytest.mark.tomcat
def test_a_context_has_its_own_access_log_and_orders_are_a_business_log(shop: Tomcat) -> None:
    order = "/shop/order.jsp?order_id=7%22&status=paid&amount=19.9"
    shop.send(f"GET {order} HTTP/1.1\r\nHost: shop\r\nUser-Agent: test\r\nConnection: close\r\n\r\n".encode())

    logged = f'"GET {order} HTTP/1.1" 200 8 "-" "test"'
    wait_until(lambda: _line_with(logged, _text(shop, f"{_SHOP.prefix}.*.txt")), 10, "the line of the context's valve")
    ordered = '"order_id": "7\\"", "status": "paid", "amount": 19.90}\n'
    wait_until(lambda: _text(shop, "orders.*.log").endswith(ordered), 10, "the order")


def test_a_service_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = f"""if True:
        import os, sys, signal, threading
        from pathlib import Path
        from deploy.cluster.process import ServiceProcess
        service = ServiceProcess("sleep", ["/bin/sleep", "600"], Path({str(tmp_path / "log")!r}))
        thread = threading.Thread(target=service.start)  # a thread's end is not the process's end
        thread.start(), thread.join()
        print(service.pid, flush=True)
        signal.pause()"""
    with subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        service = ProcessId.of(int(parent.stdout.readline()))
        assert service is not None
        assert service.running
        parent.send_signal(signal.SIGKILL)

    wait_until(lambda: not service.running, 5, "the end of the service")


def test_a_service_that_fails_to_start_says_why(tmp_path: Path) -> None:
    broken = ServiceProcess("broken", ["/bin/sh", "-c", "echo no such luck; exit 3"], tmp_path / "log")
    broken.start()
    with pytest.raises(StartFailed, match="no such luck"):
        broken.wait_ready(lambda: "not yet")

    silent = ServiceProcess("silent", ["/bin/sleep", "600"], tmp_path / "log")
    silent.start()
    with pytest.raises(StartFailed, match="nobody home"):
        silent.wait_ready(lambda: "nobody home", deadline_s=0.2)
    assert not silent.running


def test_stop_kills_a_service_that_ignores_sigterm(tmp_path: Path) -> None:
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    deaf = ServiceProcess("deaf", [sys.executable, "-c", f"{script}; time.sleep(600)"], tmp_path / "log")
    deaf.start()
    wait_until(lambda: "deaf" in deaf.log_tail(), 10, "the handler")
    deaf.pause()
    began = time.monotonic()

    assert deaf.stop(deadline_s=0.3) == -signal.SIGKILL

    assert time.monotonic() - began < 15, "it waited for what it had been told not to wait for"


def test_a_pid_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    """The recorded process is long gone and its pid is now ours."""
    (tmp_path / "kafka").mkdir()
    ProcessId(os.getpid(), "1").write(tmp_path / "kafka" / "kafka-0.pid")

    assert BackgroundCluster(tmp_path).running() is None
    assert BackgroundCluster(tmp_path).stop() == []


@pytest.mark.kafka
@pytest.mark.hdfs
@pytest.mark.slow
def test_the_background_cluster_outlives_its_starter_and_keeps_its_data(tmp_path: Path) -> None:
    start = (
        "import sys; from pathlib import Path; from deploy.cluster.background import BackgroundCluster\n"
        "BackgroundCluster(Path(sys.argv[1])).start()"
    )
    start_command = [sys.executable, "-c", start, str(tmp_path)]
    cluster = BackgroundCluster(tmp_path)
    try:
        subprocess.run(start_command, cwd=ROOT, check=True)
        first = cluster.running()
        assert first is not None
        assert first.broker.startswith("kafka://127.0.0.1:")
        client = InsecureClient(_http(first.history), user="sluice")
        client.write("/kept", b"data")
        client._session.close()
        assert len(cluster.stop()) == 3
        assert cluster.running() is None

        subprocess.run(start_command, cwd=ROOT, check=True)
        again = cluster.running()
        assert again is not None
        client = InsecureClient(_http(again.history), user="sluice")
        assert client.status("/kept")["length"] == 4
        client._session.close()
    finally:
        cluster.stop()


def _text(tomcat: Tomcat, pattern: str) -> str:
    """What is in a log; around midnight it is two files."""
    return "".join(path.read_text() for path in sorted(tomcat.logs.glob(pattern)))


def _line_with(text: str, log: str) -> str | None:
    return next((line for line in log.splitlines() if text in line), None)


def _http(history: str) -> str:
    return "http://" + history.split("@")[1].split("/")[0]
