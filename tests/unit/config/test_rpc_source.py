"""Tables of kind `thrift` and `avro`: what they mean, and what is said of those that cannot be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from config.errors import RoutesError
from config.listen import ListenAddress
from config.rpc_source import RpcSource, read_rpc_source
from config.toml_lines import TomlLines
from config.toml_table import Problems, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

THRIFT = '[[source]]\nname = "rpc"\nkind = "thrift"\nlisten = ["tcp://127.0.0.1:4141"]\n'
AVRO = THRIFT.replace("thrift", "avro")


def read(text: str) -> RpcSource | None:
    """Raises: RoutesError."""
    problems = Problems(Path("routes.toml"), TomlLines(text))
    source = read_rpc_source(Table(tomllib.loads(text)["source"][0], ("source", 0), problems))
    problems.raise_if_any()
    return source


def test_what_is_not_said_has_a_default() -> None:
    source = read(THRIFT)
    assert source is not None
    assert (source.kind, source.protocol, source.compression) == ("thrift", "compact", "none")
    assert source.listen == (ListenAddress("tcp", "127.0.0.1", 4141),)
    assert (source.cert, source.key, source.client_ca, source.idle_timeout_s) == (None,) * 4
    assert source.max_request_bytes == 16 << 20
    assert source.max_connections == 1_000


def test_what_is_said_is_taken() -> None:
    source = read(
        THRIFT + 'protocol = "binary"\nmax_request_bytes = 1000000\nmax_connections = 5\nidle_timeout_s = 60\n'
    )
    assert source is not None
    assert (source.protocol, source.max_request_bytes, source.max_connections) == ("binary", 1_000_000, 5)
    assert source.idle_timeout_s == 60
    encrypted = read(AVRO.replace("tcp:", "tls:") + 'compression = "deflate"\ncert = "c.pem"\nkey = "k.pem"\n')
    assert encrypted is not None
    assert (encrypted.kind, encrypted.compression) == ("avro", "deflate")
    assert (encrypted.cert, encrypted.key, encrypted.client_ca) == (Path("c.pem"), Path("k.pem"), None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (THRIFT + 'protocol = "json"', r"routes\.toml:5: source\.protocol: 'json' is not compact or binary"),
        (THRIFT + 'compression = "deflate"', r"routes\.toml:5: source\.compression: unknown key"),
        (AVRO + 'protocol = "binary"', r"routes\.toml:5: source\.protocol: unknown key"),
        (AVRO + 'compression = "gzip"', r"routes\.toml:5: source\.compression: 'gzip' is not none or deflate"),
        (AVRO + "max_request_bytes = 10", r"routes\.toml:5: source\.max_request_bytes: 10 is not between"),
        (AVRO + "max_connections = true", r"routes\.toml:5: source\.max_connections: must be a whole number"),
        (AVRO + "idle_timeout_s = 0", r"routes\.toml:5: source\.idle_timeout_s: 0 is not between"),
        (AVRO.replace("tcp:", "udp:"), r"routes\.toml:4: source\.listen: .*not tcp:// or tls://"),
        (AVRO.replace("tcp:", "tls:"), "missing key 'cert'"),
        (AVRO + 'cert = "c.pem"', r"routes\.toml:5: source\.cert: has no use"),
        (AVRO.replace('listen = ["tcp://127.0.0.1:4141"]\n', ""), "missing key 'listen'"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(RoutesError, match=problem):
        read(text)
