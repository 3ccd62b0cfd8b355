"""The load's clients: sent again after 503, resets and silence, never twice acknowledged by themselves, never lost."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any

import pytest

from deploy.cluster.process import LOCALHOST
from tests.support.events import id_of
from tests.support.load import Load
from tests.support.polling import wait_until

RESET = struct.pack("ii", 1, 0)


class Sluice:
    """Answers posts by a script of what the number-th one gets: a status, `reset`, or `silence` for a while."""

    def __init__(self, script: Callable[[int], int | str]) -> None:
        self.taken: set[str] = set()
        self.types: set[str] = set()
        numbers = count()
        outer = self
        self.over = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                does = script(next(numbers))
                if does == "silence":
                    outer.over.wait(60)
                if isinstance(does, str):
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    self.close_connection = True
                    return
                if does == 200:
                    outer.take(self.headers["Content-Type"], body)
                self.send_response(does)
                self.send_header("Content-Length", "0")
                if does == 503:
                    self.send_header("Retry-After", "1")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((LOCALHOST, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{LOCALHOST}:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def take(self, content_type: str, body: bytes) -> None:
        self.types.add(content_type)
        bodies = [each["body"].encode() for each in json.loads(body)] if "json" in content_type else [body]
        self.taken |= {id_of(each) for each in bodies}

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def sluice() -> Iterator[Callable[[Callable[[int], int | str]], Sluice]]:
    made: list[Sluice] = []

    def new(script: Callable[[int], int | str]) -> Sluice:
        made.append(Sluice(script))
        return made[-1]

    yield new
    for each in made:
        each.close()


@pytest.mark.slow
def test_what_is_not_acknowledged_is_sent_again_whatever_the_trouble(sluice: Callable[..., Sluice]) -> None:
    moods: list[int | str] = [200, 503, "reset", 200, "silence", 200]
    troubled = sluice(lambda number: moods[number % len(moods)] if number < 30 else 200)
    with Load([troubled.url], threads=3, batch=5, timeout_s=0.5) as load:
        wait_until(lambda: len(load.acknowledged) > 600, 60, "many posts")
    assert load.attempted.keys() == load.acknowledged.keys() == troubled.taken
    assert load.refused == 5
    assert load.unanswered >= 10
    assert troubled.types == {"application/json", "text/plain"}


@pytest.mark.slow
def test_a_client_goes_on_to_the_next_worker(sluice: Callable[..., Sluice]) -> None:
    dead, alive = sluice(lambda _: "reset"), sluice(lambda _: 200)
    with Load([dead.url, alive.url], batch=5) as load:
        wait_until(lambda: len(load.acknowledged) > 50, 60, "posts")
    assert load.attempted.keys() == load.acknowledged.keys() == alive.taken
    assert not dead.taken


@pytest.mark.slow
def test_an_event_of_ours_that_is_refused_for_good_fails_the_test(sluice: Callable[..., Sluice]) -> None:
    wrong = sluice(lambda number: 400 if number == 3 else 200)
    load = Load([wrong.url], threads=1, batch=5)
    load.__enter__()
    wait_until(lambda: len(load.acknowledged) > 50, 60, "posts")
    with pytest.raises(AssertionError, match="events of ours were answered 400"):
        load.stop()
