"""A demo against a small server that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.cluster.process import free_port
from deploy.demo import traffic
from deploy.demo.__main__ import main
from deploy.demo.errors import NothingListens, NotSluice
from deploy.demo.traffic import Traffic, Wish
from sources.http import Limits, decode
from tests.support.polling import PATIENCE_S, wait_until_async

LIMITS = Limits(body_bytes=16_000_000, events=10_000)


class Sluice:
    """Takes posts as Sluice does; the next answers are given by `answers`, then 200."""

    def __init__(self) -> None:
        self.ready = 200
        self.answers: list[tuple[int, dict[str, str]] | None] = []  # None: the connection is cut
        self.events: list = []
        self.posts = 0

    async def say_ready(self, _request: web.Request) -> web.Response:
        return web.json_response({"reasons": ["still starting"]}, status=self.ready)

    async def take(self, request: web.Request) -> web.Response:
        self.posts += 1
        body = await request.read()
        answer = self.answers.pop(0) if self.answers else (200, {})
        if answer is None:
            request.transport.abort()
            return web.Response()
        status, headers = answer
        if status == 200:
            query = request.raw_path.partition("?")[2]
            self.events += decode(request.headers["Content-Type"], None, query, body, LIMITS)
        return web.Response(status=status, headers=headers, text="" if status == 200 else "because\n")


@pytest.fixture
async def sluice() -> AsyncIterator[Sluice]:
    fake = Sluice()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_get("/ready", fake.say_ready)
    app.router.add_post("/logCollect2", fake.take)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        yield fake


def wish(tmp_path, url: str, **asked) -> Wish:
    return Wish(url, tmp_path / "tomcat", **{"rate": 5000.0, "seed": 1, **asked})


def lines_on_disk(tmp_path) -> int:
    files = [file for file in (tmp_path / "tomcat").rglob("*") if file.is_file()]
    return sum(len(file.read_text().splitlines()) for file in files if file.name != "catalina.out")


async def test_exactly_so_many_events_are_sent_and_the_files_have_the_same(tmp_path, sluice):
    said: list[str] = []
    run = Traffic(wish(tmp_path, sluice.url, events=1001), said.append)
    assert await run.run()
    assert len(sluice.events) == run.tally.sent == run.tally.acknowledged == 1001
    kept = sum(event.headers["type"] != "catalina" for event in sluice.events)
    assert lines_on_disk(tmp_path) == kept
    assert {event.headers["host"] for event in sluice.events} == {"web-1", "web-2", "web-3"}
    assert run.summary() == "1,001 sent, 1,001 acknowledged"


async def test_a_busy_sluice_is_asked_again_after_the_time_it_names(tmp_path, sluice, monkeypatch):
    slept: list[float] = []
    sleep = asyncio.sleep

    async def quick(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr("deploy.demo.sender.asyncio.sleep", quick)
    sluice.answers = [(503, {"Retry-After": "7"})]
    said: list[str] = []
    run = Traffic(wish(tmp_path, sluice.url, events=30, rate=150.0), said.append)
    assert await run.run()
    assert 7.0 in slept
    assert run.tally.retries == 1
    assert len(sluice.events) == 30
    assert any("503, sending again as told: because" in line for line in said)
    assert any("acknowledged again" in line for line in said)


async def test_a_cut_connection_is_tried_again_and_told_once(tmp_path, sluice):
    sluice.answers = [None]
    said: list[str] = []
    run = Traffic(wish(tmp_path, sluice.url, events=30), said.append)
    assert await run.run()
    assert len(sluice.events) == 30
    assert sum("no answer" in line for line in said) == 1


async def test_what_is_refused_is_told_and_not_sent_again(tmp_path, sluice):
    sluice.answers = [(413, {})]
    said: list[str] = []
    run = Traffic(wish(tmp_path, sluice.url, events=30), said.append)
    assert not await run.run()
    assert run.tally.refused + run.tally.acknowledged == 30
    assert run.tally.refused > 0
    assert any("refused with 413: because" in line for line in said)
    assert "refused" in run.summary()


async def test_stopped_it_brings_home_what_was_made(tmp_path, sluice):
    run = Traffic(wish(tmp_path, sluice.url, rate=200.0), lambda _text: None)

    async def posted() -> bool:
        return sluice.posts > 0

    running = asyncio.create_task(run.run())
    await wait_until_async(posted, PATIENCE_S, "a first post")
    run.stop()
    assert await running
    assert 0 < len(sluice.events) == run.tally.sent


async def test_it_ends_after_so_many_seconds_with_all_that_is_due_by_then(tmp_path, sluice, monkeypatch):
    monkeypatch.setattr(traffic, "TICK_S", 1.0)  # as if it had stood still meanwhile
    run = Traffic(wish(tmp_path, sluice.url, rate=200.0, seconds=0.5), lambda _text: None)
    assert await run.run()
    assert run.tally.sent > 0


async def test_when_nothing_takes_events_it_gives_up_after_a_while(tmp_path, sluice, monkeypatch):
    monkeypatch.setattr(traffic, "DRAIN_S", 0.3)
    sluice.answers = [(503, {"Retry-After": "1"})] * 1000
    run = Traffic(wish(tmp_path, sluice.url, events=30), lambda _text: None)
    assert not await run.run()
    assert run.tally.acknowledged == 0


async def test_a_sluice_that_is_not_ready_is_told_and_used_all_the_same(tmp_path, sluice):
    sluice.ready = 503
    said: list[str] = []
    run = Traffic(wish(tmp_path, sluice.url, events=3), said.append)
    assert await run.run()
    assert any("not ready yet" in line and "still starting" in line for line in said)


async def test_something_else_at_the_address_is_told(tmp_path, sluice):
    sluice.ready = 404
    with pytest.raises(NotSluice, match="404"):
        await Traffic(wish(tmp_path, sluice.url), print).run()
    with pytest.raises(NotSluice, match="no address"):
        await Traffic(wish(tmp_path, "127.0.0.1:6066"), print).run()
    assert sluice.posts == 0


async def test_nothing_at_the_address_is_told_with_what_to_do(tmp_path):
    with pytest.raises(NothingListens, match="make run"):
        await Traffic(wish(tmp_path, f"http://127.0.0.1:{free_port()}"), print).run()


def test_the_command_says_it_in_two_lines_and_ends_with_1(tmp_path, capsys):
    assert main(["--url", f"http://127.0.0.1:{free_port()}", "--directory", str(tmp_path)]) == 1
    assert "Sluice does not answer" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--rate", "0"], ["--events", "0"], ["--events", "x"], ["--seconds", "-1"]])
def test_senseless_numbers_are_refused(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err
