"""A Flume agent that sends the same lines through every way that its sinks have: Thrift and Avro."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.cluster.flume import Flume
from deploy.cluster.process import LOCALHOST

BATCH_EVENTS = 100
# Jetty serves the agent's metrics and tells this logger of each question: lines for Log4j's Flume appender at will. It
# takes none of Flume's own.
LOGGER = "org.eclipse.jetty.server.Server"


_TLS = Path(__file__).parents[1] / "data" / "tls"
CERTIFICATE = {"cert": str(_TLS / "server.pem"), "key": str(_TLS / "server-key.pem")}


class Way(NamedTuple):
    """One way into Sluice: what the sink and what the `[[source]]` table are told besides the address."""

    kind: str
    sink: dict[str, str]
    source: dict[str, str]


WAYS = {
    "thrift-compact": Way("thrift", {"protocol": "compact"}, {}),
    "thrift-binary": Way("thrift", {"protocol": "binary"}, {"protocol": "binary"}),
    "avro-plain": Way("avro", {}, {}),
    "avro-deflate": Way("avro", {"compression-type": "deflate"}, {"compression": "deflate"}),
    "avro-tls": Way("avro", {"ssl": "true", "trust-all-certs": "true"}, CERTIFICATE),
}
APPENDER = "log4j"


def routes(ports: Mapping[str, int]) -> str:
    """The routes file: a source for each way and for the appender, each with its name in the header `via`."""
    tables = []
    for name, port in ports.items():
        way = WAYS.get(name, Way("avro", {}, {}))
        told = {"name": name, "kind": way.kind, **way.source}
        lines = "".join(f'{key} = "{value}"\n' for key, value in told.items())
        scheme = "tls" if "cert" in way.source else "tcp"
        where = f'listen = ["{scheme}://{LOCALHOST}:{port}"]\nheaders = {{ via = "{name}", host = "flume" }}\n'
        tables.append(f"[[source]]\n{lines}{where}")
    return "\n".join(tables)


class Agent:
    """A Flume agent with one source, a spooling directory, whose lines go into a channel and a sink for each way."""

    def __init__(self, directory: Path, ports: Mapping[str, int]) -> None:
        self._inbox = directory / "inbox"
        self._directory = directory
        names = " ".join(WAYS)
        properties: dict[str, object] = {
            "sources": "lines",
            "channels": names,
            "sinks": names,
            "sources.lines.type": "spooldir",
            "sources.lines.spoolDir": self._inbox,
            "sources.lines.channels": names,
            "sources.lines.batchSize": BATCH_EVENTS,
            "sources.lines.pollDelay": 100,
        }
        for name, way in WAYS.items():
            properties[f"channels.{name}.type"] = "memory"
            properties[f"channels.{name}.capacity"] = 20_000
            properties[f"channels.{name}.transactionCapacity"] = 1_000
            sink = {
                "type": way.kind,
                "channel": name,
                "hostname": LOCALHOST,
                "port": ports[name],
                "batch-size": BATCH_EVENTS,
                **way.sink,
            }
            properties.update({f"sinks.{name}.{key}": value for key, value in sink.items()})
        self.service = Flume(
            directory,
            properties,
            appenders=f'<Flume name="sluice" type="Avro" compress="false"><Agent host="{LOCALHOST}"'
            f' port="{ports[APPENDER]}"/><PatternLayout pattern="%m"/></Flume>',
            loggers=f'<Logger name="{LOGGER}" level="DEBUG"><AppenderRef ref="sluice"/></Logger>',
        )

    def start(self) -> None:
        self._inbox.mkdir(parents=True, exist_ok=True)
        self.service.start()

    def send(self, name: str, lines: list[bytes]) -> None:
        """Put a file into its inbox, at once and whole."""
        written = self._directory / name
        written.write_bytes(b"".join(line + b"\n" for line in lines))
        written.rename(self._inbox / name)

    def logged(self) -> list[str]:
        """The messages of `LOGGER` so far, as its console has them."""
        told = (self._directory / "flume.log").read_text().splitlines()
        return [line.partition(f" {LOGGER} - ")[2] for line in told if f" {LOGGER} - " in line]
