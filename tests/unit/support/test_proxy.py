"""The proxy forwards, and cuts, stalls and shuts, both ways, as its docstring says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from deploy.cluster.process import LOCALHOST, free_port
from tests.support.polling import wait_until
from tests.support.proxy import Proxy

BIG = bytes(range(256)) * 20_000  # 5 MB: more than sockets buffer
ANSWERS_WITHIN_S = 60.0
SILENT_S = 0.5


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((LOCALHOST, 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    made = Proxy().start(echo)
    yield made
    made.close()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((LOCALHOST, proxy.port), timeout=ANSWERS_WITHIN_S)


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(len(data))


def test_everything_goes_through_and_an_end_is_passed_on(proxy: Proxy) -> None:
    with connect(proxy) as client:
        sender = threading.Thread(target=lambda: (client.sendall(BIG), client.shutdown(socket.SHUT_WR)))
        sender.start()
        with client.makefile("rb") as answer:
            assert answer.read() == BIG
        sender.join(10)
    assert proxy.connections == 1


def test_cut_resets_what_is_open_and_takes_new_connections(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert echoed(client, b"one") == b"one"
        assert proxy.cut() == 2, "both ends of the one connection"
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connect(proxy) as client:
        assert echoed(client, b"two") == b"two"
    assert wait_until(lambda: proxy.cut() == 0, 10, "closed connections to be forgotten")


def test_stalled_nothing_goes_through_and_nothing_is_lost(proxy: Proxy) -> None:
    with connect(proxy) as old:
        assert echoed(old, b"one") == b"one"
        proxy.stall()
        old.settimeout(SILENT_S)
        old.sendall(b"two")
        with pytest.raises(TimeoutError):
            old.recv(1)
        with connect(proxy) as new:
            new.settimeout(SILENT_S)
            new.sendall(b"three")
            with pytest.raises(TimeoutError):
                new.recv(1)
            proxy.flow()
            for client, sent in ((old, b"two"), (new, b"three")):
                client.settimeout(ANSWERS_WITHIN_S)
                assert client.recv(16) == sent


def test_shut_resets_new_connections_until_it_is_reopened(proxy: Proxy) -> None:
    proxy.shut()
    with pytest.raises(ConnectionResetError), connect(proxy) as client:  # at once, or a moment later
        client.recv(1)
    proxy.reopen()
    with connect(proxy) as client:
        assert echoed(client, b"again") == b"again"


def test_a_client_is_reset_where_nobody_is_behind() -> None:
    proxy = Proxy().start(free_port())
    try:
        with pytest.raises(ConnectionResetError), connect(proxy) as client:  # at once, or a moment later
            client.recv(1)
    finally:
        proxy.close()


def test_close_ends_a_stalled_connection_too(echo: int) -> None:
    proxy = Proxy().start(echo)
    with connect(proxy) as client:
        assert echoed(client, b"one") == b"one"
        proxy.stall()
        client.sendall(b"two")
        proxy.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
