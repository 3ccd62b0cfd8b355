"""A pair of NameNodes: one takes over from the other in the middle of commits, and each record is in one file."""

from __future__ import annotations

import posixpath
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import requests
from hdfs import HdfsError

from deploy.cluster.hadoop import SUPERUSER
from deploy.cluster.hdfs_pair import HdfsPair
from sinks.history.errors import StorageUnavailable
from sinks.history.layout import UPLOADS
from sinks.history.verify import verify
from sinks.history.webhdfs import WebHdfsStorage
from tests.support.hdfs import LiveHdfs, running
from tests.support.history import TOPIC, assert_exactly, drive, records, writer
from tests.support.history_faults import losing_proxy
from tests.support.history_run import (
    HISTORY,
    MONITOR,
    PATIENCE_S,
    access_lines,
    backing_off,
    ends,
    judged,
    reached,
    requests_counted,
    settings,
)
from tests.support.history_watch import HistoryWatch
from tests.support.kafka import LiveKafka
from tests.support.load import Load
from tests.support.polling import wait_until
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

ROLL = 10


@pytest.fixture(scope="module")
def _pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHdfs]:
    """An HDFS with two NameNodes that only this module uses."""
    directory = tmp_path_factory.mktemp("hdfs-pair")
    yield from running(LiveHdfs(HdfsPair(directory)), directory, "data", "edits", "name0", "name1")


@pytest.fixture
def pair(_pair: LiveHdfs) -> LiveHdfs:
    """It runs, one active and one standby, whatever an earlier test did."""
    _pair.service.start()
    return _pair


def test_namenodes_fail_over_in_the_middle_of_commits(
    fresh_kafka: LiveKafka,
    pair: LiveHdfs,
    worker: Workers,
    tmp_path: Path,
    fault_schedule: Iterator[random.Random],
) -> None:
    for rng in fault_schedule:
        fresh_kafka.delete_topics(*fresh_kafka.topics())
        root = pair.new_path()
        history = pair.history_url(root)
        first = worker(broker=fresh_kafka.url, settings=settings(history))
        with HistoryWatch(pair, root) as watch, Load([first.url], pause_s=0.2) as load:
            reached(fresh_kafka, HISTORY, ends(fresh_kafka))
            for fault in rng.sample([hand_over, die], 2):
                wait_until(partial(uploads, pair, root), PATIENCE_S, "a commit to begin")
                time.sleep(rng.uniform(0, 0.3))  # any step of it
                fault(pair.service, fresh_kafka, first, load)
            wait_until(lambda each=first: backing_off(each) is None, PATIENCE_S, "history to say that it is well")
            load.stop()
            judged(fresh_kafka, pair, history, root, load, first, tmp_path)
            watch.judge()
        first.stop()
        pair.client.delete(root, recursive=True)


async def test_a_rename_whose_answer_was_lost_is_recognised_by_who_took_over(pair: LiveHdfs, tmp_path: Path) -> None:
    """Of each rename of a commit in turn: it has happened, nobody said so, and then another NameNode is asked."""
    service, root = pair.service, pair.new_path()
    with losing_proxy(service.urls[service.active]) as proxy:
        for end in (ROLL, 2 * ROLL, 3 * ROLL):  # the third asks for what each later one asks for
            proxy.requests.clear()
            storage = WebHdfsStorage([proxy.url], root, user=SUPERUSER)
            await drive(storage, tmp_path, end, ROLL)
            storage.close()
    renames = [number for number, request in enumerate(proxy.requests) if request == "PUT RENAME"]
    assert len(renames) == 3, "the commit record, and a file of each type"
    for lose in renames:
        was, end = service.active, end + ROLL
        with losing_proxy(service.urls[was], lose) as proxy:
            storage = WebHdfsStorage([proxy.url, service.urls[1 - was]], root, user=SUPERUSER)
            history = writer(storage, tmp_path)
            await history.recover()
            await history.append(records(end - ROLL, end))
            with pytest.raises(StorageUnavailable, match=r"closed connection.*StandbyException"):
                await history.commit()
            assert proxy.requests[-1] == "PUT RENAME"
            service.fail_over(1 - was)
            assert await history.commit() == end
            storage.close()
    storage = WebHdfsStorage(service.urls, root, user=SUPERUSER)
    assert_exactly(storage, end)
    assert (await verify(storage, TOPIC)).well
    storage.close()


# -- what the tests do and ask


def hand_over(service: HdfsPair, kafka: LiveKafka, worker: Worker, load: Load) -> None:
    """The active one becomes standby, the other one active; commits go on."""
    was = service.active
    service.fail_over(1 - was)
    assert [service.state(was), service.state(1 - was)] == ["standby", "active"]
    reached(kafka, HISTORY, ends(kafka))
    told = f"HDFS: {service.urls[1 - was]} answers now, after {service.urls[was]}: StandbyException: "
    assert told in worker.log


def die(service: HdfsPair, kafka: LiveKafka, worker: Worker, load: Load) -> None:
    """The active one is killed. While none is active monitoring and sources go on as ever; then commits do."""
    was = service.active
    service.kill_namenode(was)
    said = [f"{service.urls[was]}: [Errno 111] Connection refused", f"{service.urls[1 - was]}: StandbyException: "]

    def tells_of_both() -> bool:
        destination = backing_off(worker)
        return destination is not None and all(each in destination["last_error"] for each in said)

    wait_until(tells_of_both, PATIENCE_S, "history to back off, and to say what each NameNode says")
    end, acknowledged = ends(kafka), access_lines(load)
    reached(kafka, MONITOR, end)
    wait_until(lambda: requests_counted(worker) >= acknowledged, PATIENCE_S, "windows to be current")
    assert worker.get("/health").status_code == 200
    wait_until(lambda: worker.get("/ready").status_code == 200, PATIENCE_S, "the worker to be ready")
    service.fail_over(1 - was)
    reached(kafka, HISTORY, ends(kafka))
    told = f"HDFS: {service.urls[1 - was]} answers now, after {service.urls[was]}: [Errno 111] Connection refused"
    assert told in worker.log
    service.start_namenode(was)


def uploads(hdfs: LiveHdfs, root: str) -> list[str]:
    """The rolls that are being committed: their uploads are removed at the end."""
    directory = posixpath.join(root, UPLOADS)
    try:
        partitions = hdfs.client.list(directory)
        return [upload for name in partitions for upload in hdfs.client.list(posixpath.join(directory, name))]
    except (HdfsError, requests.RequestException):
        return []  # before the first one
