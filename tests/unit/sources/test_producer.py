"""The way into Kafka: verdicts before anything is sent, bounded memory, and what happens when brokers fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, OutOfOrderSequenceNumber

from config.settings import Settings
from parsers.event import Event
from sources import batches
from sources.errors import BrokerUnavailable, Overloaded, TooLarge
from sources.partitioner import HostPartitioner
from sources.producer import EVENT_OVERHEAD_BYTES, HEADROOM_BYTES, GroupCommitProducer
from telemetry.flow import Flow
from tests.support.ingest import CommandedConnection, SettableClock, turns
from tests.support.polling import wait_until_async

NOW_S = 1_700_000_000.123
MAX_WAITING = 1_000_000


class Given:
    """A producer whose brokers are at the test's command. `next_connections` are what connecting gives, in order."""

    def __init__(self, max_waiting_bytes: int = MAX_WAITING) -> None:
        self.clock = SettableClock()
        self.flow = Flow("raw-log", "destination")
        self.brokers = CommandedConnection(automatic=True)
        self.next_connections: list[CommandedConnection | BaseException] = []
        self.asked = 0
        self.producer = GroupCommitProducer(
            ["127.0.0.1:1"],
            "raw-log",
            max_waiting_bytes=max_waiting_bytes,
            client_id="test",
            flow=self.flow,
            connect_with=self._connect,
            clock=self.clock,
            now_s=lambda: NOW_S,
        )

    async def _connect(self, servers: Sequence[str], topic: str, client_id: str, timeout_ms: int) -> Any:
        self.asked += 1
        found = self.next_connections.pop(0) if self.next_connections else self.brokers
        if isinstance(found, BaseException):
            raise found
        self.brokers = found
        return found

    async def ready(self) -> None:
        async def is_ready() -> bool:
            return self.producer.ready

        await wait_until_async(is_ready, 5, "the producer is ready")

    def sending(self, *events: Event) -> asyncio.Task[None]:
        return asyncio.create_task(self.producer.send(events))

    def all_is_given_back(self) -> bool:
        flow = self.flow
        return self.producer.budget.used_bytes == 0 and flow.received == flow.sent + sum(flow.rejected.values())


@pytest.fixture(params=["compiled", "plain"])
async def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Given]:
    if request.param == "plain":
        monkeypatch.setattr(batches, "compiled", None)
    given = Given()
    yield given
    await given.producer.stop(drain_s=0.01)
    assert given.all_is_given_back()


@pytest.fixture
async def up(given: Given) -> Given:
    await given.producer.start()
    await given.ready()
    return given


def event(body: bytes = b"x", **headers: str) -> Event:
    return Event(headers, body)


async def test_records_carry_everything(up: Given) -> None:
    await up.producer.send([event(b"\xff\0body", host="wéb", type="access_log"), event(b"", type="x")])
    keyed, keyless = sorted(up.brokers.records, key=lambda record: record.value, reverse=True)
    assert keyed.key == "wéb".encode()
    assert keyed.value == b"\xff\0body"
    assert keyed.headers == [("host", "wéb".encode()), ("type", b"access_log")]
    assert keyed.timestamp_ms == keyless.timestamp_ms == 1_700_000_000_123
    assert keyed.partition == HostPartitioner(4).locate("wéb")[1]
    assert (keyless.key, keyless.value, keyless.headers) == (None, b"", [("type", b"x")])


async def test_records_may_be_said_to_have_arrived_earlier(up: Given) -> None:
    await up.producer.send([event()], 1_600_000_000_000)
    (record,) = up.brokers.records
    assert record.timestamp_ms == 1_600_000_000_000


async def test_what_will_never_be_taken_is_told_while_there_is_no_broker(given: Given) -> None:
    """First by Kafka's default, then by what these brokers told last; `send` and `check` agree on every event."""
    large = [event(), event(b"x" * 1_050_000, host="a")]
    for ask in (given.producer.send, given.producer.check):
        with pytest.raises(TooLarge, match="event 2 is"):
            await ask(large)
    with pytest.raises(BrokerUnavailable):
        await given.producer.send(large[:1])
    many = [event(b"x" * 500) for _ in range(5_000)]
    with pytest.raises(TooLarge, match="bytes of memory"):
        await given.producer.check(many)
    await given.producer.start()
    await given.ready()
    limit = given.brokers.max_message_bytes - HEADROOM_BYTES
    verdicts: dict[str, set[int]] = {"send": set(), "check": set()}
    for n_bytes in range(limit - 200, limit + 1):
        for name, ask in (("send", given.producer.send), ("check", given.producer.check)):
            try:
                await ask([event(b"x" * n_bytes, host="web-1", type="x")])
            except TooLarge:
                verdicts[name].add(n_bytes)
    assert verdicts["send"] == verdicts["check"]
    assert 0 < len(verdicts["send"]) < 200


async def test_an_empty_host_is_no_host(up: Given) -> None:
    await up.producer.send([event(host="")])
    (record,) = up.brokers.records
    assert (record.key, record.headers) == (None, [("host", b"")])


async def test_a_hosts_events_stay_in_order_in_one_partition(up: Given) -> None:
    for number in range(20):
        await up.producer.send(
            [event(b"%d.%d" % (number, part), host=host, n=str(part)) for part in range(3) for host in ("a", "b", "c")]
        )
    for host in ("a", "b", "c"):
        records = [record for record in up.brokers.records if record.key == host.encode()]
        assert [record.value for record in records] == [b"%d.%d" % (n, part) for n in range(20) for part in range(3)]
        assert len({record.partition for record in records}) == 1


async def test_events_without_host_are_spread_over_time_but_not_within_a_request(up: Given) -> None:
    used = []
    for _ in range(8):
        up.brokers.submitted.clear()
        await up.producer.send([event(b"1"), event(b"2")])
        assert len({record.partition for record in up.brokers.records}) == 1
        used.append(up.brokers.records[0].partition)
        up.clock.now_s += 0.005
    assert set(used) == {0, 1, 2, 3}


async def test_nothing_to_send_is_sent_at_once(given: Given) -> None:
    await given.producer.send([])


async def test_before_there_is_a_broker_it_refuses_at_once_and_then_recovers_by_itself(given: Given) -> None:
    given.next_connections = [KafkaConnectionError("nobody there")] * 2 + [OSError("no route"), given.brokers]
    await given.producer.start()
    assert not given.producer.ready
    with pytest.raises(BrokerUnavailable) as refused:
        await given.producer.send([event()])
    assert (refused.value.status, refused.value.reason, refused.value.retriable) == (503, "broker_unavailable", True)
    assert refused.value.retry_after_s >= 1
    await given.ready()
    await given.producer.send([event()])
    assert given.asked == 4
    assert given.flow.state == "running"
    assert (given.flow.received, given.flow.sent) == (1, 1), "what was never taken is not counted"


async def test_the_log_tells_each_reason_once(given: Given, caplog: pytest.LogCaptureFixture) -> None:
    given.next_connections = [OSError("no route")] * 3 + [OSError("refused"), given.brokers]
    await given.producer.start()
    await given.ready()
    waiting = [record.getMessage() for record in caplog.records if "Waiting for Kafka" in record.getMessage()]
    assert [text.rpartition(": ")[2] for text in waiting] == ["no route", "refused"]


@pytest.mark.parametrize("where", ["body", "header value", "header name", "host", "many headers"])
async def test_one_event_that_is_too_large_refuses_all_before_anything_is_sent(up: Given, where: str) -> None:
    size = up.brokers.max_message_bytes
    large = {
        "body": event(b"x" * size, host="a"),
        "header value": event(host="a", k="v" * size),
        "header name": Event({"host": "a", "k" * size: "v"}, b""),
        "host": event(host="h" * size),
        "many headers": Event({f"k{number}": "" for number in range(size // 5)}, b""),
    }[where]
    with pytest.raises(TooLarge, match="event 2 is") as refused:
        await up.producer.send([event(host="a"), large, event(host="b")])
    assert (refused.value.status, refused.value.reason) == (413, "event_too_large")
    await turns()
    assert up.brokers.submitted == []


async def test_the_largest_event_that_fits_leaves_room_for_a_dead_letters_headers(up: Given) -> None:
    most = up.brokers.max_message_bytes - HEADROOM_BYTES
    fits = most
    while not await taken(up, event(b"x" * fits, host="a")):
        fits -= 1
    # A batch's header (61 bytes), the lengths of what a record holds (21 at most), the key, the header.
    assert most - 61 - 21 - 30 <= fits <= most - 61


async def taken(up: Given, large: Event) -> bool:
    try:
        await up.producer.send([large])
    except TooLarge:
        return False
    return True


async def test_memory_is_bounded_and_refused_requests_leave_nothing(up: Given) -> None:
    up.brokers.automatic = False
    waiting = []
    while not waiting or not waiting[-1].done():
        waiting.append(up.sending(event(b"x" * 10_000, host=str(len(waiting)))))
        await turns(3)
    with pytest.raises(Overloaded) as refused:
        await waiting.pop()
    assert (refused.value.status, refused.value.reason) == (503, "overloaded")
    assert 0.9 * MAX_WAITING < up.producer.budget.used_bytes <= MAX_WAITING
    assert len(waiting) > 80
    taken_so_far = up.flow.received
    up.brokers.automatic = True
    up.brokers.acknowledge()
    for number in range(len(up.brokers.submitted)):
        up.brokers.acknowledge(number)
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert up.all_is_given_back()
    assert up.flow.sent == taken_so_far == len(waiting)


async def test_what_can_never_fit_is_413_not_503(up: Given) -> None:
    events = [event()] * (MAX_WAITING // EVENT_OVERHEAD_BYTES + 1)
    assert len(events) > up.producer.max_events
    with pytest.raises(TooLarge) as refused:
        await up.producer.send(events)
    assert refused.value.reason == "request_too_large"


async def test_a_large_request_lets_others_have_their_turn(given: Given) -> None:
    given.producer.budget.limit_bytes = 100_000_000
    await given.producer.start()
    await given.ready()
    large = given.sending(*[event(b"%d" % number, host="a") for number in range(50_000)])
    await turns(2)
    assert not large.done()
    await asyncio.wait_for(given.producer.send([event(b"small", host="b")]), 5)
    assert not large.done()
    await asyncio.wait_for(large, 30)
    values = [record.value for record in given.brokers.records if record.key == b"a"]
    assert values == [b"%d" % number for number in range(50_000)]


async def test_a_large_request_that_is_cancelled_half_way_leaks_nothing(given: Given) -> None:
    given.producer.budget.limit_bytes = 100_000_000
    await given.producer.start()
    await given.ready()
    large = given.sending(*[event(b"%d" % number, host="a") for number in range(20_000)])
    await turns(15)  # ten slices are taken apart, some are in batches
    assert given.flow.received == 20_000
    assert not large.done()
    large.cancel()
    await asyncio.wait([large])
    assert large.cancelled()

    async def given_back() -> bool:
        return given.all_is_given_back()

    await wait_until_async(given_back, 5, "the budget is given back")
    assert given.flow.rejected == {"cancelled": 20_000}


async def test_a_cancelled_request_leaks_nothing_and_others_are_answered(up: Given) -> None:
    up.brokers.automatic = False
    gone, stays = up.sending(event(b"gone", host="a")), up.sending(event(b"stays", host="a"))
    await turns()
    gone.cancel()
    await turns()
    up.brokers.acknowledge()
    await asyncio.wait_for(stays, 5)
    assert up.all_is_given_back()
    assert up.flow.rejected == {"cancelled": 1}


async def test_a_partition_that_is_away_is_refused_at_once_and_comes_back_by_itself(up: Given) -> None:
    up.brokers.automatic = False
    stuck = up.sending(event(b"stuck", host="a"))
    await turns()
    up.clock.now_s += 10.1
    with pytest.raises(BrokerUnavailable, match="for 10 s"):
        await asyncio.wait_for(stuck, 5)
    assert up.flow.state == "backing off"
    up.brokers.automatic = True
    with pytest.raises(BrokerUnavailable, match="does not acknowledge"):
        await up.producer.send([event(host="other"), event(host="a")])
    await turns()
    assert up.producer.ready, "other partitions work"
    other = next(
        str(n) for n in range(100) if HostPartitioner(4).locate(str(n))[1] != HostPartitioner(4).locate("a")[1]
    )
    await asyncio.wait_for(up.producer.send([event(host=other), event()]), 5)
    assert [record.value for record in up.brokers.records].count(b"stuck") == 1
    up.brokers.acknowledge(0)

    async def running() -> bool:
        return up.flow.state == "running"

    await wait_until_async(running, 5, "the partition is back")
    await asyncio.wait_for(up.producer.send([event(host="a")]), 5)


async def test_with_every_partition_away_it_is_not_ready(up: Given) -> None:
    up.brokers.automatic = False
    sends = [up.sending(event(host=str(number))) for number in range(50)]
    await turns()
    up.clock.now_s += 10.1
    await asyncio.wait(sends, timeout=5)
    assert all(isinstance(send.exception(), BrokerUnavailable) for send in sends)
    assert not up.producer.ready
    with pytest.raises(BrokerUnavailable):
        await up.producer.send([event()])
    for number in range(len(up.brokers.submitted)):
        up.brokers.acknowledge(number)
    await up.ready()


async def test_a_producer_that_failed_is_replaced(up: Given) -> None:
    broken, new = up.brokers, CommandedConnection(automatic=True)
    up.next_connections = [new]
    broken.automatic = False
    failed, behind = up.sending(event(b"failed", host="a")), up.sending(event(b"other", host="b"))
    await turns()
    broken.refuse(OutOfOrderSequenceNumber(), 0)
    for send in (failed, behind):
        with pytest.raises(BrokerUnavailable, match="connection to Kafka was lost"):
            await asyncio.wait_for(send, 5)
    assert "OutOfOrderSequence" in (up.flow.last_error or "")
    await up.ready()
    assert broken.closed
    await up.producer.send([event(b"again", host="a")])
    assert [record.value for record in new.records] == [b"again"]


async def test_limits_are_asked_again_with_every_connection(up: Given) -> None:
    up.next_connections = [CommandedConnection(automatic=True, max_message_bytes=6_000)]
    await up.producer.send([event(b"x" * 5_000, host="a")])
    up.brokers.automatic = False
    refused = up.sending(event(b"x" * 5_000, host="a"))
    await turns()
    up.brokers.refuse(OutOfOrderSequenceNumber())
    await asyncio.wait([refused])
    assert isinstance(refused.exception(), BrokerUnavailable)
    await up.ready()
    with pytest.raises(TooLarge):
        await up.producer.send([event(b"x" * 5_000, host="a")])


async def test_new_partitions_are_used(up: Given) -> None:
    up.brokers.n_partitions = 12
    host = next(str(n) for n in range(1000) if HostPartitioner(12).locate(str(n))[1] == 11)

    async def uses_the_new_partition() -> bool:
        await up.producer.send([event(host=host)])
        return up.brokers.records[-1].partition == 11

    await wait_until_async(uses_the_new_partition, 5, "the twelfth partition is used")


async def test_stopping_refuses_new_events_and_finishes_what_was_taken(up: Given) -> None:
    up.brokers.automatic = False
    sent = up.sending(event(host="a"))
    await turns()
    stopping = asyncio.create_task(up.producer.stop(drain_s=5))
    await turns()
    assert not up.producer.ready
    with pytest.raises(BrokerUnavailable, match="stopping"):
        await up.producer.send([event()])
    assert not stopping.done()
    up.brokers.acknowledge()
    await asyncio.wait_for(sent, 5)
    await asyncio.wait_for(stopping, 5)
    assert up.flow.state == "stopped"
    assert up.brokers.closed


async def test_stopping_does_not_wait_for_brokers_for_ever(up: Given) -> None:
    up.brokers.automatic = False
    sent = up.sending(event(host="a"))
    await turns()
    await asyncio.wait_for(up.producer.stop(drain_s=0.05), 5)
    with pytest.raises(BrokerUnavailable, match="lost"):
        await sent


async def test_it_can_be_stopped_before_it_was_started_or_connected(given: Given) -> None:
    await given.producer.stop()
    other = Given()
    other.next_connections = [OSError("away")] * 1000
    await other.producer.start()
    await turns()
    await asyncio.wait_for(other.producer.stop(), 5)
    assert other.flow.state == "stopped"


async def test_the_largest_request_of_short_lines_fits_into_the_default_memory() -> None:
    defaults = Settings()
    given = Given(max_waiting_bytes=defaults.ingest_max_bytes)
    lines = [Event({"host": "web-1", "type": "access_log"}, b"x" * 20)] * (defaults.max_body_bytes // 21)
    assert len(lines) <= given.producer.max_events
    await given.producer.start()
    await given.ready()
    try:
        given.brokers.automatic = False
        send = given.sending(*lines)
        await turns(2)
        assert not send.done()
        send.cancel()
        await asyncio.wait([send])
    finally:
        await given.producer.stop(drain_s=0.01)
    assert given.all_is_given_back()
