"""Free ports, and who has the others."""

from __future__ import annotations

import os
import socket

from deploy.cluster.process import free_port
from deploy.embedded.ports import answers, is_free, listener


def test_a_port_that_somebody_listens_on_is_taken_and_by_whom():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert answers(port)
        assert listener(port).endswith(f"(pid {os.getpid()})")
    assert is_free(port)
    assert not answers(port)
    assert listener(port) is None


def test_a_descriptor_that_is_closed_while_they_are_looked_through_hides_nobody():
    lower = os.open(os.devnull, os.O_RDONLY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.close(lower)  # looking takes it, and closes it before it comes to the server's
        assert str(listener(server.getsockname()[1])).endswith(f"(pid {os.getpid()})")


def test_a_port_taken_on_all_addresses_is_taken_here_too():
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert listener(port) is not None


def test_a_port_found_free_can_be_listened_on_at_once():
    port = free_port()
    assert is_free(port)
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
