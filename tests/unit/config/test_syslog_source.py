"""Tables of kind `syslog`: what they mean, and what is said of those that cannot be used."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from config.errors import RoutesError
from config.listen import ListenAddress
from config.syslog_source import SyslogSource, read_syslog_source
from config.toml_lines import TomlLines
from config.toml_table import Problems, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HEAD = '[[source]]\nname = "syslog"\nkind = "syslog"\n'
LISTEN = 'listen = ["udp://127.0.0.1:5514", "tcp://127.0.0.1:5514"]\n'


def read(text: str) -> SyslogSource | None:
    """Raises: RoutesError."""
    problems = Problems(Path("routes.toml"), TomlLines(text))
    source = read_syslog_source(Table(tomllib.loads(text)["source"][0], ("source", 0), problems))
    problems.raise_if_any()
    return source


def test_what_is_not_said_has_a_default() -> None:
    source = read(HEAD + LISTEN)
    assert source is not None
    assert source.common.name == "syslog"
    assert source.listen == (ListenAddress("udp", "127.0.0.1", 5514), ListenAddress("tcp", "127.0.0.1", 5514))
    assert (source.cert, source.key, source.client_ca, source.zone, source.idle_timeout_s) == (None,) * 5
    assert source.keep == frozenset()
    assert source.max_message_bytes == 65_536
    assert source.max_connections == 1_000
    assert source.udp_queue_bytes == 16 << 20


def test_everything_can_be_said() -> None:
    source = read(
        HEAD
        + """listen = ["tls://[::]:6514"]
cert = "/etc/sluice/cert.pem"
key = "/etc/sluice/key.pem"
client_ca = "/etc/sluice/ca.pem"
keep = "timestamp hostname"
timezone = "+05:30"
max_message_bytes = 8192
max_connections = 20000
idle_timeout_s = 3600
udp_queue_bytes = 1048576
headers = { type = "syslog" }
override = true
reliability = "best-effort"
"""
    )
    assert source is not None
    assert (source.cert, source.key, source.client_ca) == (
        Path("/etc/sluice/cert.pem"),
        Path("/etc/sluice/key.pem"),
        Path("/etc/sluice/ca.pem"),
    )
    assert source.keep == {"timestamp", "hostname"}
    assert source.zone == timezone(timedelta(hours=5, minutes=30))
    assert (source.max_message_bytes, source.max_connections, source.idle_timeout_s) == (8192, 20_000, 3600)
    assert source.udp_queue_bytes == 1 << 20
    assert source.common.override


@pytest.mark.parametrize(
    ("text", "offset_h"), [("UTC", 0), ("-03:00", -3), ("Asia/Tokyo", 9), ("America/Argentina/Buenos_Aires", -3)]
)
def test_zones(text: str, offset_h: int) -> None:
    source = read(f'{HEAD}{LISTEN}timezone = "{text}"\n')
    assert source is not None
    assert source.zone is not None
    assert source.zone.utcoffset(datetime(2026, 11, 21)) == timedelta(hours=offset_h)


def test_this_machines_zone_has_a_name_too() -> None:
    source = read(f'{HEAD}{LISTEN}timezone = "local"\n')
    assert source is not None
    assert source.zone is None


@pytest.mark.parametrize("keep", ["none", "all", "priority version timestamp hostname"])
def test_keep(keep: str) -> None:
    source = read(f'{HEAD}{LISTEN}keep = "{keep}"\n')
    assert source is not None
    assert source.keep == set(keep.split()) - {"none"}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("colour = 1", "source.colour: unknown key"),
        ('keep = "al"', "source.keep: 'al' is not none, all, priority, version, timestamp or hostname; did you mean"),
        ('keep = "all hostname"', "source.keep: 'all' stands alone"),
        ("keep = true", "source.keep: must be a string, not a boolean True"),
        (
            'timezone = "Europe/Berln"',
            "source.timezone: 'Europe/Berln' is not local, UTC, an offset as +01:00, or a zone",
        ),
        ('timezone = "../../etc/passwd"', "source.timezone: '../../etc/passwd' is not local"),
        ('timezone = "Europe"', "source.timezone: 'Europe' is not local"),
        ("max_message_bytes = 10", "source.max_message_bytes: 10 is not a whole number from 480 to 16777216"),
        ("max_connections = true", "source.max_connections: True is not a whole number from 1 to 50000"),
        ("idle_timeout_s = 0", "source.idle_timeout_s: 0 is not a whole number from 1 to 604800"),
        ("idle_timeout_s = 1.5", "source.idle_timeout_s: 1.5 is not a whole number"),
        ('udp_queue_bytes = "1"', "source.udp_queue_bytes: '1' is not a whole number"),
        ('cert = "x"', "source.cert: has no use: no address in `listen` starts with tls://"),
    ],
)
def test_points_at_what_is_wrong(line: str, wrong: str) -> None:
    with pytest.raises(RoutesError) as caught:
        read(HEAD + LISTEN + line + "\n")
    (problem,) = caught.value.problems
    assert problem.startswith("routes.toml:5: " + wrong)


def test_tls_needs_its_files() -> None:
    with pytest.raises(RoutesError) as caught:
        read(HEAD + 'listen = ["tls://127.0.0.1:6514"]\nkey = "x"\n')
    assert caught.value.problems == ("routes.toml:1: source: missing key 'cert'",)
