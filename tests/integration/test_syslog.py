"""Syslog through a real worker into a real Kafka: over UDP, TCP and TLS, of both RFCs, in both framings."""

from __future__ import annotations

import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from deploy.cluster.process import free_port
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until
from tests.support.syslog import CERTIFICATES, is_balanced, routes_file, send_datagrams, source_flow, tcp_client
from tests.support.worker import Workers

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

PATIENCE_S = 90.0
BURST = 5_000


def test_messages_arrive_in_raw_log(fresh_kafka: LiveKafka, worker: Workers, tmp_path: Path) -> None:
    port, tls_port = free_port(), free_port()
    routes = routes_file(
        tmp_path,
        f"""name = "syslog"
kind = "syslog"
listen = ["udp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}", "tls://127.0.0.1:{tls_port}"]
cert = "{CERTIFICATES / "server.pem"}"
key = "{CERTIFICATES / "server-key.pem"}"
timezone = "UTC"
headers = {{ type = "syslog", host = "unnamed" }}
""",
    )
    made = worker(broker=fresh_kafka.url, roles="ingest", settings={"SLUICE_ROUTES": routes})
    now = datetime.now(timezone.utc).replace(microsecond=0)
    stamp = f"{now:%b} {now.day:2d} {now:%H:%M:%S}"
    send_datagrams(port, f"<34>{stamp} web-1 su: caf\xe9".encode("latin-1"), b"no syslog at all\n")
    rfc5424 = b'<165>1 2003-10-11T22:14:15.003Z web-2 app 17 ID47 [x@1 user="\xc3\xa9"] two\nlines'
    with tcp_client(port) as client:
        client.sendall(b"%d %s<14>and a line\n" % (len(rfc5424), rfc5424))
    with tcp_client(tls_port, tls=True) as client:
        client.sendall(b"".join(b"<13>%s web-%d line %d\n" % (stamp.encode(), n % 7, n) for n in range(BURST)))
    wait_until(lambda: sum(fresh_kafka.end_offsets("raw-log").values()) == BURST + 4, PATIENCE_S, "all messages")
    records = fresh_kafka.consume("raw-log")
    by_value = {record.value: record for record in records}

    def seen(body: bytes) -> tuple[bytes | None, dict[str, str]]:
        return by_value[body].key, {name: value.decode() for name, value in by_value[body].headers}

    assert seen(b"su: caf\xe9") == (
        b"web-1",
        {
            "type": "syslog", "host": "web-1", "Facility": "4", "Severity": "2", "priority": "34",
            "timestamp": str(int(now.timestamp()) * 1000),
        },
    )  # fmt: skip
    assert seen(b"no syslog at all") == (
        b"unnamed",
        {"type": "syslog", "host": "unnamed", "Facility": "0", "Severity": "0", "flume.syslog.status": "Invalid"},
    )
    assert seen(rfc5424[rfc5424.index(b"app ") :]) == (
        b"web-2",
        {
            "type": "syslog", "host": "web-2", "Facility": "20", "Severity": "5", "priority": "165", "version": "1",
            "timestamp": "1065910455003", "app": "app", "procid": "17", "msgid": "ID47", "sd.x@1.user": "é",
        },
    )  # fmt: skip
    assert seen(b"<14>and a line")[0] == b"unnamed"
    for host in range(7):
        lines = [record.value for record in records if record.key == b"web-%d" % host and b"line" in record.value]
        of_host = [b"line %d" % n for n in range(BURST) if n % 7 == host]
        assert [line for line in lines if line.startswith(b"line")] == of_host

    # What workers report is a second old or so.
    wait_until(lambda: source_flow(made, "syslog")["sent"] == BURST + 4, PATIENCE_S, "the counts")
    flow = source_flow(made, "syslog")
    assert is_balanced(flow)
    assert flow["accepted"] == BURST + 4
    assert flow["notes"]["invalid"] == 1
    assert flow["state"] == "running"
    assert flow["last_event_at_ms"] >= now.timestamp() * 1000

    # What was read before SIGTERM is sent before the end.
    with tcp_client(port) as client:
        client.sendall(b"<13>at the end\n" * BURST)
        wait_until(lambda: source_flow(made, "syslog")["received"] > BURST + 4, PATIENCE_S, "the first of them")
        made.stop()
    more = sum(record.value == b"<13>at the end" for record in fresh_kafka.consume("raw-log"))
    assert 0 < more <= BURST
    assert "Kafka did not take in time" not in made.log


def test_a_port_or_a_certificate_that_cannot_be_had_stops_the_start_in_one_line(
    fresh_kafka: LiveKafka, worker: Workers, tmp_path: Path
) -> None:
    table = 'name = "syslog"\nkind = "syslog"\nlisten = ["{}"]\n'
    files = f'cert = "{CERTIFICATES / "server.pem"}"\nkey = "{tmp_path}/none.pem"\n'
    for listen, more, told in (
        ("tcp://192.0.2.1:5514", "", "tcp://192.0.2.1:5514 can't be listened on: "),
        ("tls://127.0.0.1:6514", files, "none.pem: No such file or directory"),
    ):
        routes = routes_file(tmp_path, table.format(listen) + more)
        made = worker(broker=fresh_kafka.url, roles="ingest", settings={"SLUICE_ROUTES": routes}, ready=False)
        try:
            status = made.wait_ended(PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(made.log_tail()) from None
        assert status != 0
        assert told in made.log
