"""What is promised for a source's events while Kafka is away, by level."""

import asyncio

import pytest

from parsers.event import Event
from sources.errors import Overloaded, SpoolFull, TooLarge
from sources.levels import BestEffort, StoreOnFailure
from sources.spool.spool import Spool
from telemetry.flow import Flow
from tests.support.polling import wait_until_async
from tests.support.publish import CommandedKafka

DEADLINE_S = 60


class Source:
    """What every source does with its counts."""

    def __init__(self, publish, flow):
        self.publish = publish
        self.flow = flow

    async def send(self, *bodies):
        self.flow.received += len(bodies)
        try:
            await self.publish.send([Event({"host": "a"}, body) for body in bodies])
        except Exception as error:
            self.flow.reject(getattr(error, "reason", "internal"), len(bodies))
            raise
        self.flow.accepted += len(bodies)
        self.flow.sent += len(bodies)

    def in_flight(self):
        flow = self.flow
        return flow.received - flow.sent - sum(flow.rejected.values()) - flow.in_spool


@pytest.fixture
def kafka():
    return CommandedKafka()


@pytest.fixture
def flow():
    return Flow("http", "source")


@pytest.fixture
async def spool(tmp_path, kafka, flow):
    spool = Spool(tmp_path / "spool", kafka, Flow("spool", "destination"), lambda name: flow, max_bytes=100_000)
    await spool.start()
    yield spool
    await spool.close()


@pytest.fixture
def storing(kafka, spool, flow):
    return Source(StoreOnFailure(kafka, spool, flow), flow)


async def test_stored_only_while_kafka_is_away_and_in_order(kafka, spool, storing):
    flow = storing.flow
    await storing.send(b"1", b"2")
    assert (flow.sent, flow.in_spool) == (2, 0)
    kafka.go_away()
    await storing.send(b"3")
    await storing.send(b"4", b"5")
    assert (flow.accepted, flow.sent, flow.in_spool, storing.in_flight()) == (5, 2, 3, 0)
    kafka.refusal = None
    await storing.send(b"6")  # behind the others, wherever it goes

    async def empty():
        return not spool.holding

    await wait_until_async(empty, DEADLINE_S, "the spool to be empty")
    await storing.send(b"7")
    await spool.stop_delivering()
    assert kafka.taken == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    assert (flow.received, flow.accepted, flow.sent, flow.in_spool) == (7, 7, 7, 0)


async def test_a_host_that_sends_on_and_on_keeps_its_order_over_many_outages(kafka, storing, spool):
    """One sender, never pausing; Kafka goes and comes at any moment."""
    sent = []

    async def send():
        for number in range(1500):
            await storing.send(b"%d" % number)
            sent.append(b"%d" % number)

    sending = asyncio.create_task(send())
    while not sending.done():
        kafka.go_away()
        await asyncio.sleep(0.02)
        kafka.refusal = None
        await asyncio.sleep(0.15)
    await sending

    async def empty():
        return not spool.holding

    await wait_until_async(empty, DEADLINE_S, "the spool to be empty")
    await spool.stop_delivering()
    assert kafka.taken == sent
    assert storing.flow.sent == storing.flow.received == 1500


async def test_the_spool_is_left_under_load_that_never_pauses(kafka, storing, spool):
    kafka.go_away()
    await storing.send(b"in the spool")
    kafka.refusal = None
    stop = asyncio.Event()

    async def client():
        while not stop.is_set():
            await storing.send(b"x")

    async def empty():
        return not spool.holding

    clients = [asyncio.create_task(client()) for _ in range(20)]
    try:
        await wait_until_async(empty, DEADLINE_S, "the spool to be empty")
        flow = storing.flow
        spooled = spool.flow.received

        async def direct():
            return flow.sent > spooled + 200

        await wait_until_async(direct, DEADLINE_S, "events to go to Kafka directly")
        assert spool.flow.received == spooled
    finally:
        stop.set()
        await asyncio.gather(*clients)


async def test_too_large_is_refused_also_while_kafka_is_away(kafka, storing, flow):
    best = Source(BestEffort(kafka, flow, max_waiting_bytes=100_000), flow)
    for _ in range(2):
        for source in (storing, best):
            with pytest.raises(TooLarge):
                await source.send(b"x", b"y" * 1001)
        kafka.go_away()
    assert kafka.taken == []
    assert flow.rejected == {"event_too_large": 8}
    assert storing.in_flight() == 0


async def test_what_neither_kafka_nor_the_disk_takes_is_refused(kafka, storing):
    kafka.refusal = Overloaded("full of memory")
    flow = storing.flow
    while storing.in_flight() == 0 and flow.in_spool < 95:
        await storing.send(b"x" * 900)
    with pytest.raises(SpoolFull):
        await storing.send(*[b"x" * 900] * 20)
    assert flow.rejected == {"spool_full": 20}
    assert flow.in_spool == flow.accepted == flow.received - 20 == 95
    assert storing.in_flight() == 0


async def test_best_effort_answers_at_once_and_counts_what_it_drops(kafka, flow):
    best = Source(BestEffort(kafka, flow, max_waiting_bytes=50_000), flow)
    kafka.open.clear()  # acknowledges nothing
    for number in range(20):
        await asyncio.wait_for(best.send(b"%d" % number, b""), 10)
    dropped = flow.rejected["dropped_overloaded"]
    assert (flow.accepted, flow.sent) == (40, 0)
    assert 0 < dropped < 40
    assert best.in_flight() == 40 - dropped
    kafka.open.set()
    await best.publish.stop()
    assert flow.sent == 40 - dropped
    kafka.go_away()
    await best.send(b"nobody")
    await best.publish.stop()
    assert flow.rejected == {"dropped_overloaded": dropped, "dropped_broker_unavailable": 1}
    assert flow.accepted == flow.sent + sum(flow.rejected.values())
    kafka.refusal = None
    await best.send(b"last")
    await best.publish.stop()
    assert kafka.taken[-1] == b"last"
    assert best.in_flight() == 0


async def test_best_effort_keeps_the_order(kafka, flow):
    best = Source(BestEffort(kafka, flow, max_waiting_bytes=10_000_000), flow)
    for number in range(100):
        await best.send(b"%d" % number)
    await best.publish.stop()
    assert kafka.taken == [b"%d" % number for number in range(100)]
