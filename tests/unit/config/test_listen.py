"""Addresses to listen at, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import RoutesError
from config.listen import ListenAddress, parse_listen_address, read_listen
from config.toml_lines import TomlLines
from config.toml_table import Problems, Table
from config.wording import quoted


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://127.0.0.1:5514", ListenAddress("udp", "127.0.0.1", 5514)),
        ("tcp://0.0.0.0:514", ListenAddress("tcp", "0.0.0.0", 514)),
        ("tls://logs.example.com:6514/", ListenAddress("tls", "logs.example.com", 6514)),
        ("tcp://[::]:65535", ListenAddress("tcp", "::", 65535)),
        ("tcp://[0:0:0:0:0:0:0:1]:1", ListenAddress("tcp", "::1", 1)),
        ("udp://localhost:1", ListenAddress("udp", "localhost", 1)),
    ],
)
def test_reads(text: str, address: ListenAddress) -> None:
    assert parse_listen_address(text) == address
    assert parse_listen_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("127.0.0.1:5514", "is not like udp://127.0.0.1:5514"),
        ("udp://127.0.0.1", "is not like"),
        ("udp://user:secret@host:1", "is not like"),
        ("udp://::1:5514", "is not like"),
        ("udp://127.0.0.1:5514/path", "is not like"),
        ("http://127.0.0.1:5514", "starts with http://, not udp://, tcp:// or tls://"),
        ("udp://127.0.0.1:0", "port 0 is not between 1 and 65535"),
        ("udp://127.0.0.1:65536", "port 65536 is not"),
        ("udp://:5514", "has no host; 0.0.0.0 is every address"),
        ("udp://256.0.0.1:5514", "has '256.0.0.1' for an IPv4 address"),
        ("udp://[12345::]:5514", "has '[12345::]' for an IPv6 address"),
        ("udp://a b:5514", "has 'a b' for a host"),
        ("udp://-x:5514", "has '-x' for a host"),
    ],
)
def test_says_what_is_wrong(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_listen_address(text)
    assert what in str(caught.value)


def read(text: str, *transports: str) -> tuple[tuple[ListenAddress, ...] | None, list[str]]:
    lines = f"[source]\n\nlisten = {text}\n" if text else "[source]\n"
    problems = Problems(Path("routes.toml"), TomlLines(lines))
    values = {"listen": eval(text)} if text else {}
    chosen = [word for word in ("udp", "tcp", "tls") if word in transports] if transports else ["udp", "tcp", "tls"]
    addresses = read_listen(Table(values, ("source",), problems), chosen)  # type: ignore[arg-type]
    try:
        problems.raise_if_any()
    except RoutesError as error:
        return addresses, list(error.problems)
    return addresses, []


def test_a_source_may_listen_at_several() -> None:
    addresses, wrong = read('["udp://[::1]:5514", "tcp://[::1]:5514", "tls://[::1]:6514"]')
    assert [str(address) for address in addresses or ()] == [
        "udp://[::1]:5514",
        "tcp://[::1]:5514",
        "tls://[::1]:6514",
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "routes.toml:1: source: missing key 'listen'"),
        ("[]", "routes.toml:3: source.listen: is empty; a source listens at one address or more"),
        ('"udp://[::1]:1"', "routes.toml:3: source.listen: must be an array, not a string 'udp://[::1]:1'"),
        ("[5514]", "routes.toml:3: source.listen: must be a string, not a whole number 5514"),
        (
            '["tcp://h:1", "tls://h:1"]',
            "routes.toml:3: source.listen: 'tls://h:1' is there twice (tcp and tls cannot share a port)",
        ),
    ],
)
def test_points_at_the_line(text: str, wrong: str) -> None:
    assert read(text)[1] == [wrong]


def test_a_kind_may_have_fewer_transports() -> None:
    _, wrong = read('["udp://h:1"]', "tcp", "tls")
    assert wrong == [f"routes.toml:3: source.listen: {quoted('udp://h:1')} starts with udp://, not tcp:// or tls://"]
