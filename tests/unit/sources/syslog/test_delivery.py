"""Events until Kafka has them: retries, verdicts, and the sums in between."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from parsers.event import Event
from sources.errors import BrokerUnavailable, Overloaded, TooLarge
from sources.once import Troubles
from sources.syslog.delivery import Delivery
from telemetry.flow import Flow
from tests.support.polling import wait_until_async


class Broker:
    """Takes events unless told not to; refuses bodies beyond `most_bytes`."""

    def __init__(self, *refusals: Exception, most_bytes: int = 1000) -> None:
        self.refusals = list(refusals)
        self.most_bytes = most_bytes
        self.taken: list[bytes] = []

    async def send(self, events: Sequence[Event]) -> None:
        await asyncio.sleep(0)
        if self.refusals:
            raise self.refusals.pop(0)
        if any(len(event.body) > self.most_bytes for event in events):
            raise TooLarge("event_too_large", "too large")
        self.taken += [event.body for event in events]


def delivery(broker: Broker) -> tuple[Delivery, Flow]:
    flow = Flow("syslog", "source", state="running")
    return Delivery(broker, flow, Troubles(flow), first_backoff_s=0.001), flow


def events(*bodies: bytes) -> list[Event]:
    return [Event({}, body) for body in bodies]


async def until_backing_off(flow: Flow) -> None:
    async def ask() -> bool:
        return flow.state == "backing off"

    await wait_until_async(ask, 60.0, "backing off")


async def test_what_kafka_takes_is_sent() -> None:
    broker = Broker()
    to, flow = delivery(broker)
    await to.send(events(b"a", b"b"))
    assert broker.taken == [b"a", b"b"]
    assert (flow.sent, flow.accepted, flow.rejected, flow.state) == (2, 2, {}, "running")


async def test_tries_until_kafka_takes_them() -> None:
    broker = Broker(Overloaded("full"), BrokerUnavailable("away"), BrokerUnavailable("away"))
    to, flow = delivery(broker)
    states: list[str] = []
    sending = asyncio.create_task(to.send(events(b"a")))
    while not sending.done():
        states.append(flow.state)
        await asyncio.sleep(0)
    assert "backing off" in states
    assert (flow.state, flow.sent, flow.last_error) == ("running", 1, "away")
    assert flow.notes["troubles"] == {"waiting_for_kafka": 1}
    assert broker.taken == [b"a"]


async def test_backs_off_until_the_last_one_is_taken() -> None:
    broker = Broker()
    to, flow = delivery(broker)
    first = asyncio.create_task(to.send(events(b"a")))
    broker.refusals = [BrokerUnavailable("away")] * 10_000
    second = asyncio.create_task(to.send(events(b"b")))
    await until_backing_off(flow)
    broker.refusals = []
    await asyncio.gather(first, second)
    assert (flow.state, flow.sent) == ("running", 2)


@pytest.mark.parametrize("large", [0, 3, 6])
async def test_only_the_one_that_is_too_large_is_rejected(large: int) -> None:
    bodies = [b"%d" % number for number in range(7)]
    bodies[large] = b"x" * 1001
    broker = Broker()
    to, flow = delivery(broker)
    await to.send(events(*bodies))
    assert broker.taken == [body for body in bodies if len(body) < 1000]
    assert (flow.sent, flow.rejected) == (6, {"event_too_large": 1})


async def test_cancelled_it_counts_what_is_not_delivered() -> None:
    broker = Broker(*[BrokerUnavailable("away")] * 100_000)
    to, flow = delivery(broker)
    sending = asyncio.create_task(to.send(events(b"a", b"b", b"c")))
    await until_backing_off(flow)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert flow.rejected == {"stopping": 3}
    assert flow.state == "running"


async def test_an_error_of_ours_is_counted_and_told() -> None:
    to, flow = delivery(Broker(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        await to.send(events(b"a"))
    assert flow.rejected == {"failed": 1}
