"""The spool of a worker: what it takes it delivers, in order, and it refuses what it can't take."""

import asyncio
import logging
import threading
from base64 import b64encode

import orjson
import pytest

from parsers.event import Event
from sources.errors import BrokerUnavailable, SpoolFull
from sources.spool.spool import Spool
from sources.spool.store import SpoolStore
from telemetry.flow import Flow
from tests.support.polling import wait_until_async
from tests.support.publish import CommandedKafka

DEADLINE_S = 60


class Given:
    """A spool on a disk of its own, before a Kafka that is away at first."""

    def __init__(self, folder, *, max_bytes=1 << 20):
        self.kafka = CommandedKafka()
        self.kafka.go_away()
        self.flows = {name: Flow(name, "source") for name in ("http", "syslog")}
        self.folder = folder
        self.max_bytes = max_bytes
        self.now_s = 1_800_000_000.0
        self.clock_s = 0.0
        self.new()

    def new(self):
        self.flow = Flow("spool", "destination")
        self.spool = Spool(
            self.folder / "spool",
            self.kafka,
            self.flow,
            self.flows.__getitem__,
            max_bytes=self.max_bytes,
            now_s=lambda: self.now_s,
            clock=lambda: self.clock_s,
        )

    async def restarted(self):
        await self.spool.close()
        self.flows = {name: Flow(name, "source") for name in self.flows}
        self.new()
        await self.spool.start()

    async def keep(self, *bodies, source="http", size=0):
        events = [Event({"host": "a"}, str(body).encode().ljust(size)) for body in bodies]
        await self.spool.keep(self.flows[source], events)
        self.flows[source].in_spool += len(events)  # as sources/levels.py does
        self.flows[source].received += len(events)

    async def until_empty(self):
        async def empty():
            return not self.spool.holding

        await wait_until_async(empty, DEADLINE_S, "the spool to be empty")

    def balanced(self):
        for flow in (self.flow, *self.flows.values()):
            assert flow.received == flow.sent + sum(flow.rejected.values()) + flow.in_spool, flow.snapshot()


@pytest.fixture
async def given(tmp_path):
    given = Given(tmp_path)
    await given.spool.start()
    yield given
    await asyncio.wait_for(given.spool.close(), DEADLINE_S)


async def test_what_was_kept_is_delivered_in_order_with_its_arrival(given):
    for number in range(5):
        await given.keep(number, source="http" if number % 2 else "syslog")
    assert given.spool.holding
    assert (given.flow.in_spool, given.flows["http"].in_spool, given.flows["syslog"].in_spool) == (5, 2, 3)
    assert given.flow.in_spool_bytes > 0
    assert given.flow.oldest_in_spool_at_ms == 1_800_000_000_000
    given.now_s += 60
    given.kafka.refusal = None
    await given.until_empty()
    await given.spool.stop_delivering()
    assert given.kafka.taken == [b"0", b"1", b"2", b"3", b"4"]
    assert given.kafka.arrivals == [1_800_000_000_000] * 5
    assert (given.flow.in_spool, given.flow.sent, given.flow.in_spool_bytes) == (0, 5, 0)
    assert given.flow.oldest_in_spool_at_ms is None
    given.balanced()


async def test_what_kafka_has_taken_is_counted_though_delivery_is_stopped_just_then(given, monkeypatch):
    await given.keep(1, 2, 3)
    remove, removed, go_on = given.spool._store.remove, threading.Event(), threading.Event()

    def slowly(chunk):
        remove(chunk)
        removed.set()
        assert go_on.wait(DEADLINE_S)

    monkeypatch.setattr(given.spool._store, "remove", slowly)
    given.kafka.refusal = None
    assert await asyncio.to_thread(removed.wait, DEADLINE_S)
    stopping = asyncio.create_task(given.spool.stop_delivering())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    assert (given.flow.in_spool, given.flow.sent, given.flow.in_spool_bytes) == (0, 3, 0)
    given.balanced()


async def test_kept_for_days_the_arrival_is_said_to_be_a_day_ago(given):
    await given.keep("old")
    given.now_s += 5 * 86_400
    given.kafka.refusal = None
    await given.until_empty()
    assert given.kafka.arrivals == [int((given.now_s - 86_400) * 1000)]


async def test_a_restart_delivers_what_was_left_before_anything_new(given):
    await given.keep(1, 2)
    await given.keep(3, source="syslog")
    await given.restarted()
    assert given.spool.holding
    assert (given.flow.received, given.flow.in_spool) == (3, 3)
    assert given.flows["http"].accepted == given.flows["http"].in_spool == 2
    await given.keep(4)
    given.kafka.refusal = None
    await given.until_empty()
    await given.spool.stop_delivering()
    assert given.kafka.taken == [b"1", b"2", b"3", b"4"]
    given.balanced()


async def test_concurrent_senders_share_a_sync(given, monkeypatch):
    groups = []
    append = SpoolStore.append

    def counted(store, entries):
        groups.append(len(entries))
        append(store, entries)

    monkeypatch.setattr(SpoolStore, "append", counted)
    await asyncio.gather(*(given.keep(number) for number in range(200)))
    assert sum(groups) == 200
    assert len(groups) <= 3
    given.kafka.refusal = None
    await given.until_empty()
    assert given.kafka.taken == [b"%d" % number for number in range(200)]


async def test_full_it_refuses_once_said_and_takes_again_when_there_is_room(tmp_path, caplog):
    given = Given(tmp_path, max_bytes=10_000)
    await given.spool.start()
    kept = 0
    with caplog.at_level(logging.INFO):
        for number in range(30):
            try:
                await given.keep(number, size=900)
                kept += 1
            except SpoolFull:
                assert number > 7
        assert 8 <= kept <= 11
        with pytest.raises(SpoolFull):  # the next of the same host does not slip in because it is small
            await given.keep("small", size=600)
        given.kafka.refusal = None
        await given.until_empty()
        await given.keep("after")
        await given.until_empty()
    await given.spool.close()
    assert [int(body) for body in given.kafka.taken[:-1]] == list(range(kept))
    assert given.kafka.taken[-1] == b"after"
    said = [record.getMessage() for record in caplog.records if "refuses events until" in record.getMessage()]
    assert len(said) == 1
    assert [record for record in caplog.records if "takes events again" in record.getMessage()]
    given.balanced()


async def test_a_disk_that_takes_nothing_is_a_full_spool(given, monkeypatch, caplog):
    append = SpoolStore.append

    def refuse(store, entries):
        raise OSError("IO error: No space left on device")

    monkeypatch.setattr(SpoolStore, "append", refuse)
    for _ in range(3):
        with pytest.raises(SpoolFull):
            await given.keep("lost to nobody")
    assert not given.spool.holding
    monkeypatch.setattr(SpoolStore, "append", append)
    with pytest.raises(SpoolFull):
        await given.keep("too soon")
    given.clock_s += 1.5
    await given.keep("again")
    assert len([record for record in caplog.records if "refuses events" in record.getMessage()]) == 1
    given.kafka.refusal = None
    await given.until_empty()
    assert given.kafka.taken == [b"again"]
    given.balanced()


async def test_a_cancelled_sender_loses_nothing(given):
    sender = asyncio.create_task(given.keep("kept all the same"))
    await asyncio.sleep(0)
    sender.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sender
    given.kafka.refusal = None

    async def delivered():
        return given.kafka.taken

    await wait_until_async(delivered, DEADLINE_S, "the delivery")
    await given.until_empty()
    await given.spool.stop_delivering()
    given.balanced()


async def test_new_events_wait_for_the_end_of_a_nearly_empty_spool(given):
    await given.keep("old")
    assert not await given.spool.emptied()  # Kafka is away: no reason to wait
    given.kafka.open.clear()
    given.kafka.refusal = None
    calls = given.kafka.calls

    async def delivering():
        return given.kafka.calls > calls

    await wait_until_async(delivering, DEADLINE_S, "the spool's next attempt")
    assert given.spool.holding
    asyncio.get_running_loop().call_later(0.05, given.kafka.open.set)
    await given.until_empty()
    assert await given.spool.emptied()


async def test_what_the_brokers_turn_out_not_to_take_is_set_aside(given, tmp_path, caplog):
    await given.keep("1", "2".ljust(500), "3")
    await given.keep("4")
    given.kafka.max_body_bytes = 100
    given.kafka.refusal = None
    await given.until_empty()
    await given.spool.stop_delivering()
    assert given.kafka.taken == [b"1", b"3", b"4"]
    (line,) = (tmp_path / "spool-set-aside.jsonl").read_bytes().splitlines()
    aside = orjson.loads(line)
    assert aside == {
        "source": "http",
        "arrived_at_ms": 1_800_000_000_000,
        "headers": {"host": "a"},
        "body_base64": b64encode(b"2".ljust(500)).decode(),
    }
    assert given.flow.rejected == given.flows["http"].rejected == {"set_aside": 1}
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    given.balanced()


async def test_a_sender_that_comes_first_waits_for_the_start(tmp_path):
    given = Given(tmp_path)
    sender = asyncio.create_task(given.keep("early"))
    await asyncio.sleep(0)
    await given.spool.start()
    await asyncio.wait_for(sender, DEADLINE_S)
    assert given.flow.in_spool == 1
    await given.spool.close()


async def test_after_its_end_it_keeps_nothing(tmp_path):
    given = Given(tmp_path)
    sender = asyncio.create_task(given.keep("never opened"))
    await asyncio.sleep(0)
    await given.spool.close()
    await given.spool.close()
    for refused in (sender, given.keep("too late")):
        with pytest.raises(BrokerUnavailable):
            await refused
    assert not (tmp_path / "spool").exists()
