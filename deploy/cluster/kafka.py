"""A real Kafka: one or several KRaft brokers on 127.0.0.1."""

from __future__ import annotations

import base64
import socket
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deploy.cluster.fetch import fetch
from deploy.cluster.process import LOCALHOST, ServiceProcess, free_port, run_tool
from deploy.cluster.programs import LIGHT_DUTY, java


class Kafka:
    """Brokers that keep their ports and data from `start` to `start`, whatever happens in between.

    Every node is broker and controller. Topics are not created by asking for them, as on most production clusters.
    Node numbers count from 0. Not safe for concurrent use.
    """

    def __init__(
        self,
        directory: Path,
        *,
        brokers: int = 1,
        ports: Sequence[int] | None = None,
        heap_mb: int = 384,
        settings: Mapping[str, str] | None = None,
        proxy_ports: Sequence[int] = (),
        detached: bool = False,
    ) -> None:
        """Nothing runs yet. `settings` are lines of server.properties that win over ours; `ports` one per broker.

        `proxy_ports`, one per broker: whoever comes in by `ports_behind_proxies` is told to go on by these.
        A `detached` cluster outlives this process; its pid files are in `directory`.
        """
        self.directory = directory
        self.ports = list(ports) if ports is not None else [free_port() for _ in range(brokers)]
        self._controller_ports = [free_port() for _ in self.ports]
        self._proxy_ports = list(proxy_ports)
        self.ports_behind_proxies = [free_port() for _ in self._proxy_ports]
        self._settings = dict(settings or {})
        self._heap_mb = heap_mb
        self._nodes = [
            ServiceProcess(
                f"Kafka {node}",
                [],
                directory / f"kafka-{node}.log",
                cwd=directory,
                pid_file=directory / f"kafka-{node}.pid" if detached else None,
            )
            for node in range(len(self.ports))
        ]

    @property
    def bootstrap(self) -> str:
        """What clients connect to: `host:port,host:port`."""
        return ",".join(f"{LOCALHOST}:{port}" for port in self.ports)

    @property
    def url(self) -> str:
        """The same as a value of SLUICE_BROKER."""
        return "kafka://" + ";".join(f"{LOCALHOST}:{port}" for port in self.ports)

    @property
    def pids(self) -> list[int]:
        """Of the nodes that run."""
        return [node.pid for node in self._nodes if node.running]

    def running(self, node: int = 0) -> bool:
        return self._nodes[node].running

    def start(self, *nodes: int) -> None:
        """Start these nodes (all, if none is named) and return when they answer as members of the cluster.

        Takes about 5 s; after a `kill` about 9 s, as the controller first has to see the old broker as dead.
        Raises: StartFailed, FetchFailed, ProgramMissing.
        """
        chosen = nodes or range(len(self._nodes))
        classpath = f"{fetch('kafka')}/*"
        self._format(classpath)
        for node in chosen:
            self._nodes[node].command = [
                java(),
                f"-Xmx{self._heap_mb}m",
                "-Xms64m",
                "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
                "-cp",
                classpath,
                "kafka.Kafka",
                str(self._properties(node)),
            ]
            self._nodes[node].start()
        for node in chosen:
            self._nodes[node].wait_ready(lambda node=node: self._why_not_ready(node))  # type: ignore[misc]

    def stop(self, *nodes: int) -> None:
        """Shut these nodes (or all) down in an orderly way, or kill them after a deadline."""
        chosen = self._chosen(nodes)
        for node in chosen:
            node.terminate()
        for node in chosen:  # the last ones of several may wait for a controller that is gone already: killed then
            node.stop(deadline_s=10)

    def kill(self, *nodes: int) -> None:
        """SIGKILL these nodes (or all)."""
        for node in self._chosen(nodes):
            node.kill()

    def pause(self, *nodes: int) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        for node in self._chosen(nodes):
            node.pause()

    def cont(self, *nodes: int) -> None:
        """SIGCONT after `pause`."""
        for node in self._chosen(nodes):
            node.cont()

    def log_tail(self, node: int = 0) -> str:
        """The end of a node's log."""
        return self._nodes[node].log_tail()

    def _chosen(self, nodes: Iterable[int]) -> list[ServiceProcess]:
        return [self._nodes[node] for node in nodes] or self._nodes

    def _properties(self, node: int) -> Path:
        return self.directory / f"server-{node}.properties"

    def _format(self, classpath: str) -> None:
        """Write each node's settings, and format its data folder unless that is done."""
        self.directory.mkdir(parents=True, exist_ok=True)
        cluster_id = "s" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]  # a leading "-" is an option
        for node in range(len(self._nodes)):
            properties = self._properties(node)
            properties.write_text("".join(f"{key}={value}\n" for key, value in self._server_settings(node).items()))
            if not (self._data(node) / "meta.properties").exists():
                _run_storage_tool(classpath, "format", "-t", cluster_id, "-c", str(properties))

    def _data(self, node: int) -> Path:
        return self.directory / f"data-{node}"

    def _server_settings(self, node: int) -> dict[str, str]:
        replication = str(min(len(self.ports), 3))
        in_sync = str(min(len(self.ports), 2))
        voters = ",".join(f"{number}@{LOCALHOST}:{port}" for number, port in enumerate(self._controller_ports))
        listeners = {"PLAINTEXT": self.ports[node], "CONTROLLER": self._controller_ports[node]}
        advertised = {"PLAINTEXT": self.ports[node]}
        if self._proxy_ports:
            listeners["PROXIED"] = self.ports_behind_proxies[node]
            advertised["PROXIED"] = self._proxy_ports[node]
        return {
            "node.id": str(node),
            "process.roles": "broker,controller",
            "listeners": _addresses(listeners),
            "advertised.listeners": _addresses(advertised),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "controller.quorum.voters": voters,
            "log.dirs": str(self._data(node)),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": replication,
            "transaction.state.log.replication.factor": replication,
            "transaction.state.log.min.isr": in_sync,
            # 50 partitions each would cost seconds at every start.
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.num.partitions": "4",
            # Kafka's 9 s would make every restart after a kill wait for the end of the dead broker's session.
            "broker.session.timeout.ms": "5000",
            "broker.heartbeat.interval.ms": "1000",
            # A group of tests need not wait 3 s for members who may still come.
            "group.initial.rebalance.delay.ms": "0",
            **self._settings,
        }

    def _why_not_ready(self, node: int) -> str | None:
        """None when this node answers and knows every running broker as alive."""
        try:
            alive = _alive_brokers(self.ports[node])
        except (OSError, struct.error) as error:
            return f"no answer on port {self.ports[node]}: {error!r}"
        expected = {number for number, process in enumerate(self._nodes) if process.running}
        return None if expected <= alive else f"brokers {sorted(expected - alive)} have not joined"


def _addresses(ports: Mapping[str, int]) -> str:
    """Listeners by name, as server.properties has them."""
    return ",".join(f"{name}://{LOCALHOST}:{port}" for name, port in ports.items())


def _run_storage_tool(classpath: str, *arguments: str) -> None:
    command = [java(), "-Xmx128m", *LIGHT_DUTY, "-cp", classpath, "kafka.tools.StorageTool", *arguments]
    run_tool("Kafka's storage tool", command)


def _alive_brokers(port: int) -> set[int]:
    """The node ids in a broker's answer to Metadata (version 1, no topics), spoken by hand: no client library here."""
    client = b"sluice-cluster"
    body = struct.pack(f">hhih{len(client)}si", 3, 1, 1, len(client), client, 0)
    with socket.create_connection((LOCALHOST, port), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        with connection.makefile("rb") as answer:
            (length,) = struct.unpack(">i", answer.read(4))
            payload = answer.read(length)
    _, count = struct.unpack_from(">ii", payload)
    alive, at = set(), 8
    for _ in range(count):
        node_id, host_bytes = struct.unpack_from(">ih", payload, at)
        alive.add(node_id)
        at += 4 + 2 + host_bytes + 4  # id, host, port
        (rack_bytes,) = struct.unpack_from(">h", payload, at)
        at += 2 + max(rack_bytes, 0)
    return alive
