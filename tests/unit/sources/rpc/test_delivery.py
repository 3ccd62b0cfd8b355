"""What becomes of a request's events: taken, refused, or split where they are too large."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from config.source import SourceCommon
from parsers.event import Event
from sources.errors import BrokerUnavailable, TooLarge
from sources.producer import HEADROOM_BYTES, GroupCommitProducer
from sources.rpc.delivery import Delivery
from sources.rpc.oversize import MORE_HEADER, PIECE_HEADER
from telemetry.flow import Flow
from tests.support.ingest import CommandedConnection, turns

COMMON = SourceCommon("rpc", {"type": "t"}, False, None)


async def test_an_event_that_brokers_never_take_goes_in_parts_and_blocks_nothing() -> None:
    connection = CommandedConnection(automatic=True, max_message_bytes=HEADROOM_BYTES + 8_000)

    async def connect(*_: object) -> CommandedConnection:
        return connection

    producer = GroupCommitProducer(
        ["nowhere"],
        "raw-log",
        max_waiting_bytes=10_000_000,
        client_id="t",
        flow=Flow("p", "route"),
        connect_with=connect,
    )
    await producer.start()
    await turns()
    flow = Flow("rpc", "source")
    large = b"".join(b"%09d\n" % number for number in range(2_000))
    events = [Event({"host": "a"}, b"before"), Event({"host": "a"}, large), Event({"host": "a"}, b"after")]
    assert await Delivery(COMMON, producer, flow).deliver(events)
    records = connection.records
    assert records[0].value == b"before"
    assert records[-1].value == b"after"
    parts = records[1:-1]
    assert b"".join(part.value for part in parts) == large
    assert [dict(part.headers)[PIECE_HEADER] for part in parts] == [b"1", b"2", b"3"]
    assert [dict(part.headers).get(MORE_HEADER) for part in parts] == [b"true", b"true", None]
    assert all(part.key == b"a" and dict(part.headers)["type"] == b"t" for part in parts)
    assert flow.received == flow.sent == flow.accepted == len(records) == 5
    assert flow.rejected == {}
    assert flow.notes["split_events"] == 2
    await producer.stop(1)


class Small:
    """Takes `most_events` of at most `most_bytes` each at a time, without saying so beforehand."""

    def __init__(self, most_events: int = 1_000, most_bytes: int = 1_000_000) -> None:
        self.most_events = most_events
        self.most_bytes = most_bytes
        self.fails_after = 1_000_000
        self.events: list[Event] = []

    async def send(self, events: Sequence[Event]) -> None:
        if len(self.events) >= self.fails_after:
            raise BrokerUnavailable("away")
        if len(events) > self.most_events or any(len(event.body) > self.most_bytes for event in events):
            raise TooLarge("request_too_large", "too much")
        self.events += events


async def test_a_request_larger_than_memory_goes_in_halves() -> None:
    publish, flow = Small(most_events=30), Flow("rpc", "source")
    events = [Event({}, b"%d" % number) for number in range(100)]
    assert await Delivery(SourceCommon("rpc", {}, False, None), publish, flow).deliver(events)
    assert publish.events == events
    assert flow.received == flow.sent == 100


async def test_a_single_event_larger_than_any_known_limit_is_cut_until_it_fits() -> None:
    publish, flow = Small(most_bytes=5_000), Flow("rpc", "source")
    assert await Delivery(COMMON, publish, flow).deliver([Event({}, b"x" * 50_000)])
    assert b"".join(event.body for event in publish.events) == b"x" * 50_000
    assert flow.received == flow.sent == len(publish.events)


async def test_what_can_be_taken_in_no_way_is_refused_and_not_dropped() -> None:
    publish, flow = Small(most_bytes=100), Flow("rpc", "source")
    assert not await Delivery(COMMON, publish, flow).deliver([Event({}, b"x" * 50_000)])
    assert flow.received == sum(flow.rejected.values())
    assert publish.events == []


async def test_a_failure_in_the_middle_refuses_the_request() -> None:
    publish, flow = Small(most_events=30), Flow("rpc", "source")
    publish.fails_after = 50
    assert not await Delivery(COMMON, publish, flow).deliver([Event({}, b"x")] * 100)
    assert flow.sent == len(publish.events) == 50
    assert flow.rejected == {"broker_unavailable": 50}


class Broken:
    """Fails as only a bug does."""

    async def send(self, events: Sequence[Event]) -> None:
        raise ZeroDivisionError


async def test_an_error_of_ours_refuses_the_request(caplog: pytest.LogCaptureFixture) -> None:
    flow = Flow("rpc", "source")
    assert not await Delivery(COMMON, Broken(), flow).deliver([Event({}, b"x")])
    assert flow.rejected == {"internal": 1}
    assert "Sluice's own fault" in caplog.text


class Never:
    """Answers nothing."""

    async def send(self, events: Sequence[Event]) -> None:
        await asyncio.Event().wait()


async def test_a_cancelled_request_is_counted() -> None:
    flow = Flow("rpc", "source")
    task = asyncio.create_task(Delivery(COMMON, Never(), flow).deliver([Event({}, b"x")]))
    await turns()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert flow.rejected == {"cancelled": 1}
