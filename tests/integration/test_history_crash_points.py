"""A fault at every call to a real HDFS, a crash between every two, every answer lost on the way: each offset once.

One history goes through all cases, a roll of two files in each: what is judged at the end has been through all of it.
"""

from __future__ import annotations

import asyncio
import posixpath
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.cluster.process import LOCALHOST
from sinks.history import commit, layout
from sinks.history.errors import StorageUnavailable
from sinks.history.memory import Call, Fault, SimulatedCrash
from sinks.history.verify import verify
from sinks.history.webhdfs import WebHdfsStorage
from tests.support.hdfs import LiveHdfs
from tests.support.history import TOPIC, assert_exactly, drive, records, rows, writer
from tests.support.history_faults import FaultyStorage, LosingProxy, losing_proxy

pytestmark = [pytest.mark.hdfs, pytest.mark.slow]

USER = "sluice"
ROLL = 10
# A crash before a call is one after the call before it.
FAULTS = [Fault.REFUSED, Fault.ANSWER_LOST, Fault.PARTIAL, Fault.CRASH_AFTER]


@pytest.fixture(autouse=True)
def _archive_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the archive is in the calls that fail."""
    monkeypatch.setattr(commit, "_KEPT", 1)
    monkeypatch.setattr(commit, "_ARCHIVED_AT_ONCE", 1)


class History:
    """A history that grows by a roll a case; what is once under data/ has to stay as it was."""

    def __init__(self, hdfs: LiveHdfs, buffer_dir: Path) -> None:
        self.root = hdfs.new_path()
        self.storage = WebHdfsStorage([hdfs.url], self.root, user=USER)
        self.end = 0
        self._hdfs = hdfs
        self._buffer_dir = buffer_dir
        self._seen: dict[str, object] = {}

    async def roll(self, faults: dict[int, Fault]) -> list[Call]:
        """A new owner recovers and writes a roll, with faults at these of its calls; and its successors after a crash.

        Gives the calls, without those of an owner who came through.
        """
        self.end += ROLL
        storage = FaultyStorage(self.storage, faults)
        for _ in range(len(faults) + 1):
            try:
                await drive(storage, self._buffer_dir, self.end, ROLL)
                break
            except SimulatedCrash:
                storage.restart()
                self._look()
        return storage.calls

    async def judge(self) -> None:
        """Each offset is in one file, none has changed, and nothing is left lying about."""
        await self.roll({})
        self._look()
        assert_exactly(self.storage, self.end)
        report = await verify(self.storage, TOPIC)
        assert report.well, report.to_json()
        assert self.storage.entries(layout.uploads_directory(TOPIC, 0)) == []
        assert len(self.storage.entries(layout.commits_directory(TOPIC, 0))) <= 2
        self.storage.close()

    def _look(self) -> None:
        """Hold every file under data/ against what it was: a file that was written again has another id."""
        if self._hdfs.client.status(f"{self.root}/data", strict=False) is None:
            return
        now = {
            posixpath.join(folder, name): (status["fileId"], status["length"], status["modificationTime"])
            for (folder, _), _, files in self._hdfs.client.walk(f"{self.root}/data", status=True)
            for name, status in files
        }
        assert self._seen.items() <= now.items(), "a file under data/ changed"
        self._seen = now


@pytest.fixture
async def calls(hdfs: LiveHdfs, tmp_path: Path) -> list[Call]:
    """What a new owner's first roll calls where nothing fails: all there is, but for a look at what was refused."""
    history = History(hdfs, tmp_path)
    for _ in range(3):
        calls = await history.roll({})
    await history.judge()
    assert {call.operation for call in calls} == {
        *("entries", "read", "exists", "write", "rename", "make_directory", "delete")
    }
    for area in (layout.DATA, layout.COMMITS, layout.ARCHIVE):
        assert any(call.operation == "rename" and call.path.startswith(area) for call in calls), area
    return calls


async def test_one_fault_at_each_call(hdfs: LiveHdfs, tmp_path: Path, calls: list[Call]) -> None:
    """A history for each kind of fault, all at the same time: most of it is waiting for HDFS."""

    async def go_through(fault: Fault) -> None:
        history = History(hdfs, tmp_path / fault.name)
        await history.roll({})
        for number, call in enumerate(calls):
            if fault is not Fault.PARTIAL or call.operation == "write":
                assert len(await history.roll({number: fault})) > number, f"{fault} at {number}, {call}"
        await history.judge()

    with ThreadPoolExecutor(len(FAULTS)) as executor:
        list(executor.map(lambda fault: asyncio.run(go_through(fault)), FAULTS))


async def test_a_crash_and_faults_in_the_recovery_after_it(
    hdfs: LiveHdfs, tmp_path: Path, calls: list[Call], fault_schedule: Iterator[random.Random]
) -> None:
    for rng in fault_schedule:
        history = History(hdfs, tmp_path)
        for number in range(rng.randrange(3), len(calls), 3):
            await history.roll(
                {number: Fault.CRASH_AFTER, **{number + rng.randint(1, 12): rng.choice(FAULTS) for _ in range(2)}}
            )
        await history.judge()


async def test_an_answer_that_is_lost_on_the_way(hdfs: LiveHdfs, tmp_path: Path) -> None:
    """Of each request that changes something: it has happened, and the connection closes without a word."""
    with losing_proxy(hdfs.url) as proxy:
        root = hdfs.new_path()
        requests = await _roll_through(proxy, 1, root, tmp_path, ROLL)
        end = 2 * ROLL
        requests = await _roll_through(proxy, 1, root, tmp_path, end)
        assert {"PUT CREATE", "PUT RENAME", "PUT MKDIRS", "DELETE DELETE", "GET LISTSTATUS"} <= set(requests)
        for number, request in enumerate(requests):
            if request.startswith("GET"):
                continue
            proxy.lose = number
            end += ROLL
            assert len(await _roll_through(proxy, 1, root, tmp_path, end)) > number
            if request == "PUT RENAME":
                # The client itself asks the next NameNode then, for what has happened already.
                proxy.lose = number
                end += ROLL
                assert len(await _roll_through(proxy, 2, root, tmp_path, end)) > number
    storage = WebHdfsStorage([hdfs.url], root, user=USER)
    assert_exactly(storage, end)
    assert (await verify(storage, TOPIC)).well
    storage.close()


async def _roll_through(proxy: LosingProxy, name_nodes: int, root: str, buffer_dir: Path, end: int) -> list[str]:
    """A new owner's roll up to an offset, by way of the proxy; gives its requests."""
    proxy.requests.clear()
    urls = [proxy.url, proxy.url.replace(LOCALHOST, "localhost")]  # two names, as of two NameNodes
    storage = WebHdfsStorage(urls[:name_nodes], root, user=USER)
    await drive(storage, buffer_dir, end, ROLL)
    storage.close()
    proxy.lose = None
    return list(proxy.requests)


async def test_an_accepted_gap_is_recorded_once_whatever_fails(hdfs: LiveHdfs, tmp_path: Path) -> None:
    """As `accept-gap` does it: recover, record, and all of it again when that failed."""
    storage = WebHdfsStorage([hdfs.url], hdfs.new_path(), user=USER)
    await drive(storage, tmp_path, ROLL, ROLL)
    end, lost, number, reached = ROLL, [], 0, True
    while reached:
        faulty = FaultyStorage(storage, {number: (Fault.ANSWER_LOST, Fault.CRASH_AFTER)[number % 2]})
        for _ in range(2):
            faulty.restart()
            history = writer(faulty, tmp_path)
            try:
                await history.recover()
                await history.accept_loss(end + 5, "gone")
                break
            except (SimulatedCrash, StorageUnavailable):
                continue
        reached = len(faulty.calls) > number
        lost.append((end, end + 4))
        history = writer(storage, tmp_path)
        assert await history.recover() == end + 5
        await history.append(records(end + 5, end + ROLL))
        end, number = await history.commit() or 0, number + 1
    (part,) = (await verify(storage, TOPIC)).partitions
    assert part.well, part.to_json()
    assert [(loss.first, loss.last) for loss in part.lost] == lost
    there = [offset for offset in range(end) if not any(first <= offset <= last for first, last in lost)]
    assert [row["offset"] for row in rows(storage)] == there
    storage.close()
