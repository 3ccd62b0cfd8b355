"""The history on a real HDFS: the suites, and what only a real one does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from sinks.history import layout
from sinks.history.errors import SinkError, StorageDenied, StorageFull, StorageUnavailable
from sinks.history.storage import Body, Segment
from sinks.history.verify import verify
from sinks.history.webhdfs import WebHdfsStorage
from tests.support.hdfs import LiveHdfs
from tests.support.history import TOPIC, assert_exactly, drive, records, writer
from tests.support.history_suites import StorageSuite, WriterSuite

pytestmark = [pytest.mark.hdfs, pytest.mark.slow]

USER = "sluice"  # who may do everything on the tests' HDFS


@pytest.fixture
def storage(hdfs: LiveHdfs) -> Iterator[WebHdfsStorage]:
    made = WebHdfsStorage([hdfs.url], hdfs.new_path(), user=USER)
    yield made
    made.close()


class TestStorage(StorageSuite):
    """As any other."""


class TestWriter(WriterSuite):
    """As on any other."""


@pytest.fixture
def standby() -> Iterator[str]:
    """A NameNode that answers as a standby does."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = b'{"RemoteException": {"exception": "StandbyException", "message": "state standby"}}'
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


async def test_a_standby_and_a_dead_name_node_are_passed_over(hdfs: LiveHdfs, standby: str, tmp_path: Path) -> None:
    storage = WebHdfsStorage([standby, "http://127.0.0.1:1", hdfs.url], hdfs.new_path(), user=USER)
    await drive(storage, tmp_path, 20)
    assert_exactly(storage, 20)
    storage.close()


async def test_a_user_without_rights_is_told_so_and_may_be_granted_them(hdfs: LiveHdfs, tmp_path: Path) -> None:
    root = hdfs.new_path()
    hdfs.client.makedirs(root)
    storage = WebHdfsStorage([hdfs.url], root, user="nobody-in-particular")
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(0, 10))
    with pytest.raises(StorageDenied, match="Permission denied: user=nobody-in-particular"):
        await history.commit()
    hdfs.client.set_owner(root, owner="nobody-in-particular")
    assert await history.commit() == 10
    assert_exactly(storage, 10)
    storage.close()


async def test_a_quota_is_told_and_may_be_lifted(hdfs: LiveHdfs, tmp_path: Path) -> None:
    """Names run out in the middle of an upload; it is taken back, and made again when there is room."""
    root = hdfs.new_path()
    storage = WebHdfsStorage([hdfs.url], root, user=USER)
    await drive(storage, tmp_path, 10)
    names = hdfs.client.content(root)["directoryCount"] + hdfs.client.content(root)["fileCount"]
    _set_quota(hdfs, root, names + 3)
    history = writer(storage, tmp_path)
    await history.recover()
    await history.append(records(10, 20))
    for _ in range(3):
        with pytest.raises(StorageFull):
            await history.commit()
    assert storage.entries(layout.uploads_directory(TOPIC, 0)) == []
    _set_quota(hdfs, root, names + 1000)
    assert await history.commit() == 20
    assert_exactly(storage, 20)
    storage.close()


def test_a_body_that_breaks_off_leaves_no_file_that_counts(storage: WebHdfsStorage, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x" * 1000)
    with pytest.raises(SinkError):
        storage.write("tmp/broken", Body([b"begin" * 100_000, Segment(tmp_path / "short", 0, 2_000_000)]))
    left = [entry.size for entry in storage.entries("tmp")]
    assert all(size < 2_500_000 for size in left)  # shorter than promised: the size check before a commit tells


class TestServersThatFail:
    """Each of these takes the NameNode or the DataNode away and brings it back."""

    @pytest.fixture
    def storage(self, fresh_hdfs: LiveHdfs) -> Iterator[WebHdfsStorage]:
        made = WebHdfsStorage([fresh_hdfs.url], fresh_hdfs.new_path(), user=USER)
        yield made
        made.close()

    async def test_safe_mode(self, fresh_hdfs: LiveHdfs, storage: WebHdfsStorage, tmp_path: Path) -> None:
        history = writer(storage, tmp_path)
        await history.recover()
        await history.append(records(0, 10))
        await asyncio.to_thread(fresh_hdfs.service.set_safe_mode, True)
        with pytest.raises(StorageUnavailable, match="safe mode"):
            await history.commit()
        await asyncio.to_thread(fresh_hdfs.service.set_safe_mode, False)
        assert await history.commit() == 10
        assert_exactly(storage, 10)

    async def test_a_name_node_that_is_killed(
        self, fresh_hdfs: LiveHdfs, storage: WebHdfsStorage, tmp_path: Path
    ) -> None:
        await drive(storage, tmp_path, 10)
        history = writer(storage, tmp_path)
        await history.recover()
        await history.append(records(10, 20))
        fresh_hdfs.service.kill_namenode()
        for _ in range(2):
            with pytest.raises(StorageUnavailable):
                await history.commit()
        await asyncio.to_thread(fresh_hdfs.service.start_namenode)
        assert await history.commit() == 20
        assert_exactly(storage, 20)

    async def test_a_data_node_that_is_killed(
        self, fresh_hdfs: LiveHdfs, storage: WebHdfsStorage, tmp_path: Path
    ) -> None:
        history = writer(storage, tmp_path)
        await history.recover()
        await history.append(records(0, 10))
        fresh_hdfs.service.kill_datanode()
        with pytest.raises(StorageUnavailable):
            await history.commit()
        await asyncio.to_thread(fresh_hdfs.service.start_datanode)
        assert await history.commit() == 10
        assert_exactly(storage, 10)
        assert (await verify(storage, TOPIC, deep=True)).well

    @pytest.mark.parametrize("start_over", [False, True], ids=["same_call_again", "start_over"])
    async def test_a_name_node_that_stands_still_in_the_middle_of_any_commit(
        self, fresh_hdfs: LiveHdfs, storage: WebHdfsStorage, tmp_path: Path, start_over: bool
    ) -> None:
        """Requests time out, and happen when it goes on."""
        quick = WebHdfsStorage([fresh_hdfs.url], storage._root, user=USER, timeout_s=(1.0, 1.0))
        with ThreadPoolExecutor(4) as executor:
            for roll in range(6):
                history = writer(quick, tmp_path, executor=executor)
                position = await _patiently(history.recover) or 0
                assert position == roll * 10
                await history.append(records(position, position + 10))
                commit = asyncio.ensure_future(history.commit())
                await asyncio.sleep(0.004 * roll)
                fresh_hdfs.service.pause_namenode()
                done, _ = await asyncio.wait({commit}, timeout=120)
                assert done
                fresh_hdfs.service.cont_namenode()
                if commit.exception() is not None:
                    assert isinstance(commit.exception(), StorageUnavailable)
                    if start_over:
                        position = await _patiently(history.recover) or 0
                        await history.append(records(position, (roll + 1) * 10))
                    assert await _patiently(history.commit) == (roll + 1) * 10
        assert_exactly(storage, 60)
        assert (await verify(storage, TOPIC, deep=True)).well
        quick.close()


def _set_quota(hdfs: LiveHdfs, path: str, names: int) -> None:
    asked = {"op": "SETQUOTA", "user.name": USER, "namespacequota": names, "storagespacequota": (1 << 63) - 1}
    requests.put(f"{hdfs.url}/webhdfs/v1{path}", params=asked, timeout=60).raise_for_status()


async def _patiently(call: Callable[[], Awaitable[int | None]]) -> int | None:
    for _ in range(30):
        try:
            return await call()
        except SinkError as error:
            if not error.retriable:
                raise
            await asyncio.sleep(0.2)
    raise AssertionError("HDFS did not come back")
