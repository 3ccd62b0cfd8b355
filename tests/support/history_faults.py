"""Breaks a real storage at one call: fails it, loses its answer, leaves half a file, or lets the process die there."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import urlsplit

from deploy.cluster.process import LOCALHOST
from sinks.history.errors import StorageUnavailable
from sinks.history.memory import Call, Fault, SimulatedCrash
from sinks.history.storage import Body, Entry, Storage

T = TypeVar("T")


class FaultyStorage:
    """Another storage, with calls counted from 0 and faults set at such numbers, as MemoryStorage has them.

    Not for several threads at a time: then calls would have no numbers.
    """

    def __init__(self, storage: Storage, faults: dict[int, Fault] | None = None) -> None:
        self.calls: list[Call] = []
        self._storage = storage
        self._faults = dict(faults or {})
        self._dead = False

    def restart(self) -> None:
        """The process that died is started again."""
        self._dead = False

    def write(self, path: str, body: Body) -> None:
        """As the storage, or half of it."""
        half = b"".join(body)[: len(body) // 2]
        self._call(
            "write", path, lambda: self._storage.write(path, body), lambda: self._storage.write(path, Body([half]))
        )

    def rename(self, source: str, target: str) -> None:
        """As the storage."""
        self._call("rename", target, lambda: self._storage.rename(source, target))

    def make_directory(self, path: str) -> None:
        """As the storage."""
        self._call("make_directory", path, lambda: self._storage.make_directory(path))

    def entries(self, path: str) -> list[Entry]:
        """As the storage."""
        return self._call("entries", path, lambda: self._storage.entries(path))

    def exists(self, path: str) -> bool:
        """As the storage."""
        return self._call("exists", path, lambda: self._storage.exists(path))

    def read(self, path: str) -> bytes | None:
        """As the storage."""
        return self._call("read", path, lambda: self._storage.read(path))

    def chunks(self, path: str) -> Iterator[bytes]:
        """As the storage."""
        yield from self._call("chunks", path, lambda: self._storage.chunks(path))

    def delete(self, path: str) -> None:
        """As the storage."""
        self._call("delete", path, lambda: self._storage.delete(path))

    def close(self) -> None:
        """As the storage."""
        self._storage.close()

    def _call(self, operation: str, path: str, act: Callable[[], T], half: Callable[[], object] | None = None) -> T:
        if self._dead:
            raise SimulatedCrash
        fault = self._faults.pop(len(self.calls), None)
        self.calls.append(Call(operation, path))
        if fault is Fault.CRASH_BEFORE:
            self._die()
        if fault is Fault.PARTIAL and half is not None:
            half()
        if fault in (Fault.REFUSED, Fault.PARTIAL):
            raise StorageUnavailable(f"{operation} {path}: {fault.value}")
        result = act()
        if fault is Fault.CRASH_AFTER:
            self._die()
        if fault is Fault.ANSWER_LOST:
            raise StorageUnavailable(f"{operation} {path}: {fault.value}")
        return result

    def _die(self) -> None:
        self._dead = True
        raise SimulatedCrash


class LosingProxy:
    """Between a WebHDFS client and its servers: hands requests on, and swallows the answer to one of them.

    Requests are counted from 0, those to the NameNode and those that it redirects to a DataNode alike. To swallow is to
    close the connection when the server has answered: what was asked has happened.
    """

    def __init__(self, lose: int | None = None) -> None:
        self.requests: list[str] = []  # method and operation
        self.url = ""
        self.lose = lose
        self._lock = threading.Lock()

    def count(self, asked: str) -> bool:
        """Note a request; whether its answer is to be lost."""
        with self._lock:
            self.requests.append(asked)
            return self.lose == len(self.requests) - 1


@contextmanager
def losing_proxy(url: str, lose: int | None = None) -> Iterator[LosingProxy]:
    """A proxy in front of the NameNode at a URL, and of the DataNode that it names."""
    proxy = LosingProxy(lose)
    name_node = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            # A redirect comes back with the DataNode's address as the first part of its path.
            through = re.match(r"/through/([^/]+)(/.*)", self.path)
            host, path = (through[1], through[2]) if through else (name_node, self.path)
            body = self.body()
            operation = re.search(r"[?&]op=([A-Z]+)", self.path)
            lost = proxy.count(f"{self.command} {operation[1] if operation else path}")
            server = http.client.HTTPConnection(host, timeout=30)
            try:
                dropped = ("host", "transfer-encoding", "content-length")
                headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
                server.request(self.command, path, body, headers)
                answer = server.getresponse()
                content = answer.read()
            finally:
                server.close()
            if lost:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() == "location":
                    self.send_header(name, re.sub(r"^http://([^/]+)/", rf"{proxy.url}/through/\1/", value))
                elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        do_GET = do_PUT = do_POST = do_DELETE = pass_on

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOCALHOST, 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://{LOCALHOST}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
