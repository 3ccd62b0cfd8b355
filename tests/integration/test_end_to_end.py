"""Many clients at once: each post is exactly one row in HDFS and one request in the windows, whoever is asked."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.load import access_line, id_of
from tests.support.polling import wait_until
from tests.support.shell import Shell
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

POSTS = 20_000
CONNECTIONS = 300
POSTS_TO_THREE = 2_000
GROUPS = ("sluice-monitor", "sluice-history")
PAGES = (
    "/api/access",
    "/api/access?by=none&step=60",
    "/api/access?service=shop-1&host=web-3",
    "/api/access/top?n=1000",
    "/api/business/orders",
    "/api/dead-letters?n=10",
    "/api/lag",
)
POSTED_WITHIN_S = 180.0
PATIENCE_S = 120.0


class Post(NamedTuple):
    """One event, and the window that it belongs to."""

    id: str
    headers: dict[str, str]
    body: str
    window: tuple[int, str]  # start and service


class Deployment(NamedTuple):
    """What the tests of this module have in common; `posts` are all that were acknowledged."""

    kafka: LiveKafka
    hdfs: LiveHdfs
    root: str
    workers: Workers
    shell: Shell
    posts: list[Post]

    def worker(self, roles: str | None = None) -> Worker:
        return self.workers(
            broker=self.kafka.url,
            history=self.hdfs.history_url(self.root),
            roles=roles,
            settings={"SLUICE_HISTORY_ROLL_INTERVAL_S": 2, "SLUICE_RETENTION_S": 7200},
        )

    def wait_caught_up(self) -> None:
        for group in GROUPS:
            wait_until(lambda group=group: self.kafka.lag(group, "raw-log") == 0, PATIENCE_S, f"{group} to be done")

    def send(self, worker: Worker, count: int) -> None:
        posts = [new_post(f"{len(self.posts) + n}", n) for n in range(count)]
        statuses = asyncio.run(asyncio.wait_for(post_all(worker.url, posts, CONNECTIONS), POSTED_WITHIN_S))
        assert statuses == {200: count}
        self.posts.extend(posts)

    def assert_history_is_exact(self) -> None:
        """Each post is one row, as it was sent; and `verify` says so too."""
        rows = self.hdfs.records(self.root)
        by_id = {post.id: post for post in self.posts}
        assert Counter(id_of(row["body"].encode()) for row in rows) == dict.fromkeys(by_id, 1)
        for row in rows:
            post = by_id[id_of(row["body"].encode())]
            assert (row["headers"], row["body"]) == (post.headers, post.body)
        assert len({(row["partition"], row["offset"]) for row in rows}) == len(self.posts)
        said = self.shell("verify", "--deep", "--json")
        assert (said.status, said.json["well"]) == (0, True)
        assert sum(partition["rows"] for partition in said.json["partitions"]) == len(self.posts)
        assert sum(partition["unwritten"] for partition in said.json["partitions"]) == 0

    def wait_windows_are_exact(self, worker: Worker) -> None:
        """A batch is in the windows a moment after its offset is committed; too much would never come right."""
        expected = Counter(post.window for post in self.posts)

        def exact() -> bool:
            windows = worker.get_json("/api/access")["windows"]
            counted = {(window["start"], window["service"]): window["requests"] for window in windows}
            assert sum(counted.values()) == len(self.posts)
            assert counted == expected
            return True

        wait_until(exact, PATIENCE_S, "exact windows", retry_on=AssertionError)


@pytest.fixture(scope="module")
def deployment(
    fresh_kafka: LiveKafka, hdfs: LiveHdfs, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    root = hdfs.new_path()
    settings = {"SLUICE_HISTORY": hdfs.history_url(root)}
    shell = Shell(tmp_path_factory.mktemp("shell"), broker=fresh_kafka.url, settings=settings)
    workers = Workers(tmp_path_factory.mktemp("workers"))
    try:
        yield Deployment(fresh_kafka, hdfs, root, workers, shell, [])
    finally:
        workers.kill()


def new_post(id: str, number: int) -> Post:
    headers = {"type": "access_log", "host": f"web-{number % 7}", "service": f"shop-{number % 3}"}
    at_s = int(time.time()) - number % 60  # several windows; whole seconds, which nobody rounds up
    body = access_line(id, random.Random(number), at_s)
    return Post(id, headers, body, (at_s // 10 * 10, headers["service"]))


async def post_all(url: str, posts: list[Post], connections: int) -> Counter[int]:
    """Each post a request of its own, over so many connections that are all open from the first to the last post."""
    address = urlsplit(url)
    statuses: Counter[int] = Counter()
    waiting = iter(posts)

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for post in waiting:
                body = json.dumps([{"headers": post.headers, "body": post.body}]).encode()
                writer.write(
                    b"POST /logCollect2 HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                )
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next(line for line in head.split("\r\n") if line.startswith("content-length:"))
                await reader.readexactly(int(length.partition(":")[2]))
                statuses[int(head.split()[1])] += 1
        finally:
            writer.close()
            await writer.wait_closed()

    opening = (asyncio.open_connection(address.hostname, address.port) for _ in range(connections))
    opened = await asyncio.gather(*opening)
    await asyncio.gather(*(client(*connection) for connection in opened))
    return statuses


def test_one_worker_of_every_role(deployment: Deployment) -> None:
    worker = deployment.worker()

    deployment.send(worker, POSTS)

    deployment.wait_caught_up()
    deployment.wait_windows_are_exact(worker)
    deployment.assert_history_is_exact()
    worker.stop()
    assert "Traceback" not in worker.log


def test_three_workers_of_one_role_each_answer_the_same(deployment: Deployment) -> None:
    """They take over what one worker has counted, and any of them answers for all."""
    three = [deployment.worker(role) for role in ("ingest", "monitor", "history")]

    deployment.send(three[0], POSTS_TO_THREE)

    deployment.wait_caught_up()
    for worker in three:
        deployment.wait_windows_are_exact(worker)
        wait_until(lambda worker=worker: roles_seen(worker) == {"ingest", "monitor", "history"}, PATIENCE_S, "workers")
    wait_until(lambda: len({ask_all(worker) for worker in three}) == 1, PATIENCE_S, "all three to answer the same")
    deployment.assert_history_is_exact()
    for refusing in three[1:]:
        assert refusing.post("/logCollect2", "[]", "application/json").status_code == 404
    for worker in three:
        worker.stop()
        assert "Traceback" not in worker.log


def ask_all(worker: Worker) -> str:
    """The answers to everything that does not move by itself."""
    return json.dumps({page: worker.get_json(page) for page in PAGES}, sort_keys=True)


def roles_seen(worker: Worker) -> set[str]:
    """The roles of all workers that are alive, as this one tells."""
    return {role for each in worker.get_json("/api/flows")["workers"] for role in each["roles"]}
