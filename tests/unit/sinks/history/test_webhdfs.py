"""Answers that a real HDFS gives rarely: of standby NameNodes, of proxies in between, of nobody."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from sinks.history.errors import SinkError, StorageDenied, StorageFull, StorageRefused, StorageUnavailable
from sinks.history.storage import Body
from sinks.history.webhdfs import WebHdfsStorage
from sinks.history.webhdfs_session import NameNodeSession

Answer = tuple[int, bytes]
Serve = Callable[..., str]


def _exception(name: str, message: str = "because") -> bytes:
    return json.dumps({"RemoteException": {"exception": name, "javaClassName": name, "message": message}}).encode()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that give one answer to everything, after some first ones; gives their URL."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        status: int,
        body: bytes,
        seen: list[str] | None = None,
        location: str | None = None,
        first: list[Answer] | None = None,
    ) -> str:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                if seen is not None:
                    seen.append(f"{self.command} {self.path}")
                if self.headers.get("Transfer-Encoding") == "chunked":  # whoever still sends finds no closed connection
                    while int(self.rfile.readline(), 16):
                        self.rfile.readline()
                    self.rfile.readline()
                code, content = first.pop(0) if first else (status, body)
                self.send_response(code)
                if location is not None:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PUT = do_DELETE = answer

            def log_message(self, *args: object) -> None:
                """Says nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An address at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def _storage(*name_nodes: str, answers_within_s: float = 60.0) -> WebHdfsStorage:
    return WebHdfsStorage(list(name_nodes), "/history", user="sluice", timeout_s=(60.0, answers_within_s))


def test_a_standby_and_a_dead_name_node_are_passed_over(serve: Serve, closed_port: str) -> None:
    seen: list[str] = []
    standby = serve(403, _exception("StandbyException", "Operation category READ is not supported in state standby"))
    active = serve(200, b'{"FileStatuses": {"FileStatus": []}}', seen)
    storage = _storage(standby, closed_port, active)
    assert storage.entries("data") == []
    assert storage.entries("data") == []
    assert len(seen) == 2
    assert seen[0].startswith("GET /webhdfs/v1/history/data?")
    assert "user.name=sluice" in seen[0]
    storage.close()


def test_no_name_node_that_answers_is_unavailable(serve: Serve, closed_port: str) -> None:
    standby = serve(403, _exception("StandbyException"))
    storage = _storage(standby, closed_port)
    with pytest.raises(StorageUnavailable):
        storage.rename("a", "b")
    storage.close()


def test_an_error_tells_what_each_name_node_said(serve: Serve, closed_port: str) -> None:
    standby = serve(403, _exception("StandbyException", "not supported in state standby\n\tat org.apache.X"))
    starting = serve(403, _exception("RetriableException", "Namenode is in startup mode"))
    expected = [
        f"{standby}: StandbyException: not supported in state standby",
        f"{closed_port}: [Errno 111] Connection refused",
        f"{starting}: RetriableException: Namenode is in startup mode",
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        urls = [[standby, closed_port, starting][each] for each in order]
        storage = _storage(*urls)
        with pytest.raises(StorageUnavailable) as caught:
            storage.exists("a")
        assert str(caught.value).endswith("a: " + "; ".join(expected[each] for each in order))
        storage.close()


@pytest.mark.parametrize("status", [404, 500, 502, 503])
def test_who_has_the_port_of_a_dead_name_node_is_passed_over(serve: Serve, status: int) -> None:
    """A proxy before a dead NameNode, a server that is just starting, a program that got its port."""
    stranger = serve(status, b"<html>no NameNode</html>")
    storage = _storage(stranger, serve(200, b'{"FileStatuses": {"FileStatus": []}}'))
    assert storage.entries("data") == []
    storage.close()
    storage = _storage(stranger, serve(403, _exception("StandbyException")))
    with pytest.raises(StorageUnavailable, match=f"{stranger}: answered {status} .*, not WebHDFS; .*StandbyExc"):
        storage.entries("data")
    storage.close()


def test_the_one_that_answers_is_asked_first_by_every_thread_and_named_once(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []
    standby = serve(403, _exception("StandbyException", "state standby"), asked)
    active = serve(200, b'{"FileStatuses": {"FileStatus": []}}')
    storage = _storage(standby, active)
    for _ in range(3):
        thread = threading.Thread(target=storage.entries, args=("data",))
        thread.start()
        thread.join()
    assert len(asked) == 1
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"HDFS: {active} answers now, after {standby}: StandbyException: state standby"]
    storage.close()


def test_another_one_is_named_also_where_none_answered_for_a_while(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    answers, standby = (200, b'{"FileStatuses": {"FileStatus": []}}'), (403, _exception("StandbyException"))
    first = serve(*standby, first=[answers])
    second = serve(*answers, first=[standby])
    storage = _storage(first, second)
    assert storage.entries("data") == []
    with pytest.raises(StorageUnavailable):
        storage.entries("data")
    for _ in range(2):
        assert storage.entries("data") == []
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [f"HDFS: {second} answers now, after {first}: StandbyException: because"]
    storage.close()


def test_an_answer_from_before_a_failover_does_not_hide_it(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """A thread that stood still has it in its hands while another one is told that the NameNode is standby now."""
    was = serve(403, _exception("StandbyException"), first=[(200, b"{}"), (200, b"{}")])
    other = serve(200, b"{}")
    session = NameNodeSession([was, other])

    def ask(name_node: str) -> int:
        session.begin_call()
        return session.request("GET", f"{name_node}/webhdfs/v1/a").status_code

    class Late(requests.Session):
        def request(self, *arguments: Any, **options: Any) -> requests.Response:
            response = super().request(*arguments, **options)
            with ThreadPoolExecutor(1) as another:
                assert another.submit(ask, was).result() == 403
            return response

    assert ask(was) == 200
    with Late() as late:
        session._local.session = late
        assert ask(was) == 200
        session._local.session = session._sessions[0]
    assert ask(other) == 200
    session.close()
    said = [record.getMessage() for record in caplog.records if "answers now" in record.getMessage()]
    assert said == [f"HDFS: {other} answers now, after {was}: StandbyException: because"]


def test_a_standby_that_sends_an_upload_on_is_not_named(
    serve: Serve, closed_port: str, caplog: pytest.LogCaptureFixture
) -> None:
    """HDFS's standby NameNodes refuse all but that; the DataNode then asks the active one."""
    data_node = serve(201, b"")
    standby = serve(307, b"", location=f"{data_node}/webhdfs/v1/a?op=CREATE")
    storage = _storage(closed_port, standby)
    storage.write("a", Body([b"x"]))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    storage.close()


def test_an_error_of_a_data_node_is_not_hidden_by_what_name_nodes_said(serve: Serve, closed_port: str) -> None:
    standby = serve(403, _exception("StandbyException"))
    active = serve(307, b"", location=f"{closed_port}/webhdfs/v1/a?op=CREATE")
    storage = _storage(standby, active)
    with pytest.raises(StorageUnavailable, match="Connection refused") as caught:
        storage.write("a", Body([b"x"]))
    assert "Standby" not in str(caught.value)
    storage.close()
    storage = _storage(standby, active)
    data_node = closed_port.removeprefix("http://")
    with pytest.raises(StorageUnavailable, match=rf"StandbyException.*; {active}: {data_node}: .*Connection refused"):
        storage.read("a")
    storage.close()


def test_a_name_node_that_is_named_twice_is_asked_once(closed_port: str) -> None:
    """The client would go round and round for ever, holding its lock."""
    storage = _storage(closed_port, closed_port, f"{closed_port}/")
    with pytest.raises(StorageUnavailable):
        storage.exists("a")
    storage.close()


def test_a_name_node_that_does_not_answer_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        storage = _storage(f"http://127.0.0.1:{silent.getsockname()[1]}", answers_within_s=0.3)
        with pytest.raises(StorageUnavailable, match="timed out"):
            storage.exists("a")
        storage.close()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, _exception("AccessControlException", "Permission denied: user=sluice"), StorageDenied),
        (403, _exception("SecurityException"), StorageDenied),
        (401, b"<html>Authentication required</html>", StorageDenied),
        (403, _exception("NSQuotaExceededException"), StorageFull),
        (403, _exception("DSQuotaExceededException"), StorageFull),
        (403, _exception("SafeModeException", "Name node is in safe mode"), StorageUnavailable),
        (403, _exception("RetriableException", "Name node is in safe mode"), StorageUnavailable),
        (403, _exception("FileAlreadyExistsException"), StorageRefused),
        (403, _exception("ParentNotDirectoryException"), StorageRefused),
        (400, _exception("IllegalArgumentException"), StorageRefused),
        (500, _exception("NullPointerException"), StorageUnavailable),
        (
            403,
            _exception("IOException", "could only be written to 0 of the 1 minReplication nodes"),
            StorageUnavailable,
        ),
        (502, b"<html>Bad Gateway</html>", StorageUnavailable),
        (503, b'{"error": "not WebHDFS"}', StorageUnavailable),
        (404, b"", StorageUnavailable),
        (200, b"<html>Welcome</html>", StorageUnavailable),
        (200, b'{"boolean": false}', StorageRefused),
    ],
)
def test_answers_are_told_apart(serve: Serve, status: int, body: bytes, error: type[SinkError]) -> None:
    storage = _storage(serve(status, body))
    with pytest.raises(SinkError) as caught:
        storage.rename("a", "b")
    assert type(caught.value) is error
    storage.close()


@pytest.mark.parametrize("body", [_exception("AccessControlException"), _exception("RetriableException"), b"oops"])
def test_only_a_file_that_is_not_there_is_missing(serve: Serve, body: bytes) -> None:
    """The client's own way to ask takes each of these for a missing file."""
    storage = _storage(serve(403, body))
    for ask in (storage.exists, storage.entries, storage.read):
        with pytest.raises((StorageDenied, StorageUnavailable)):
            ask("a")
    storage.close()
    storage = _storage(serve(404, _exception("FileNotFoundException")))
    assert not storage.exists("a")
    assert storage.entries("a") == []
    assert storage.read("a") is None
    storage.close()


def test_an_answer_that_is_not_webhdfs_is_unavailable(serve: Serve) -> None:
    storage = _storage(serve(200, b"{}"))  # no redirect to a DataNode
    with pytest.raises(StorageUnavailable):
        storage.write("a", Body([b"x"]))
    storage.close()


def test_messages_hold_no_java_stack_trace(serve: Serve) -> None:
    storage = _storage(serve(403, _exception("AccessControlException", "Permission denied\n\tat org.apache.X")))
    with pytest.raises(StorageDenied, match=r"AccessControlException: Permission denied$"):
        storage.make_directory("a")
    storage.close()


def test_a_path_that_the_client_would_replace_is_refused() -> None:
    with pytest.raises(ValueError, match="#LATEST"):
        WebHdfsStorage(["http://localhost:9870"], "/history/#LATEST")


def test_the_user_is_the_stated_one_or_hadoops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HADOOP_USER_NAME", "hadoop")
    assert "user=me" in repr(WebHdfsStorage(["http://localhost:9870"], "/history", user="me"))
    assert "user=hadoop" in repr(WebHdfsStorage(["http://localhost:9870"], "/history"))
