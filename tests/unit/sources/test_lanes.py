"""Group commit in one partition: what shares a batch, when it goes out, and who learns what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiokafka.errors import KafkaError

from parsers.event import Event
from parsers.packed import PackedEvents
from sources import batches
from sources.batches import new_envelope
from sources.errors import BrokerUnavailable
from sources.lanes import Lane, Run, Ticket
from tests.support.ingest import CommandedConnection, SettableClock, turns


@dataclass
class Given:
    lane: Lane
    brokers: CommandedConnection
    clock: SettableClock
    released: list[int]
    running: asyncio.Task[None]

    def send(self, *bodies: bytes, ticket: Ticket | None = None, last: bool = True) -> tuple[asyncio.Future[None], int]:
        """What a `send` call does; the future it waits for, and the bytes it holds."""
        ticket = ticket or Ticket(asyncio.get_running_loop().create_future())
        events = PackedEvents.of([Event({"host": "web-1"}, body) for body in bodies])
        run = Run(self.lane, new_envelope({"host": "web-1"}, b"web-1"), events, 0, len(bodies))
        held = self.lane.append(ticket, 1_700_000_000_000, run, 0, len(bodies))
        if last:
            ticket.done()
        return ticket.acknowledged, held

    @property
    def values(self) -> list[list[bytes]]:
        return [[record.value for record in batch.records] for batch in self.brokers.submitted]


@pytest.fixture(params=["compiled", "plain"])
async def given(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Given]:
    if request.param == "plain":
        monkeypatch.setattr(batches, "compiled", None)
    brokers, clock, released = CommandedConnection(), SettableClock(), list[int]()
    lane = Lane(2, brokers, clock, released.append)
    running = asyncio.create_task(lane.run())
    yield Given(lane, brokers, clock, released, running)
    running.cancel()
    await asyncio.wait([running])
    lane.abandon(BrokerUnavailable("the test is over"))


async def test_a_lone_event_goes_out_at_once_and_is_answered_when_acknowledged(given: Given) -> None:
    answered, held = given.send(b"one")
    await turns()
    assert given.values == [[b"one"]]
    assert given.brokers.submitted[0].partition == 2
    assert not answered.done()
    given.brokers.acknowledge()
    await turns()
    assert answered.done()
    assert given.released == [held]
    assert held == new_envelope({"host": "web-1"}, b"web-1").n_bytes + 3
    assert given.lane.idle


async def test_what_arrives_while_a_batch_is_out_shares_the_next(given: Given) -> None:
    answers = [given.send(b"one")[0]]
    await turns()
    answers += [given.send(body)[0] for body in (b"two", b"three", b"four")]
    await turns()
    assert given.values == [[b"one"]]
    given.brokers.acknowledge()
    await turns()
    assert given.values == [[b"one"], [b"two", b"three", b"four"]]
    assert [answer.done() for answer in answers] == [True, False, False, False]
    given.brokers.acknowledge()
    await turns()
    assert all(answer.done() for answer in answers)


async def test_a_batch_that_is_out_takes_no_more(given: Given) -> None:
    """aiokafka has counted its sequence numbers: a record more, and the brokers refuse all that follow."""
    given.send(b"one")
    await turns()
    given.send(b"two")
    given.brokers.acknowledge()
    await turns()
    assert given.values == [[b"one"], [b"two"]]


async def test_a_large_call_spans_batches_and_is_answered_after_the_last(given: Given) -> None:
    bodies = [b"%04d" % number * 250 for number in range(10)]
    answered, held = given.send(*bodies)
    for number in range(1, 5):
        await turns()
        assert len(given.brokers.submitted) == number
        assert not answered.done()
        given.brokers.acknowledge()
        if len(given.brokers.records) == 10:
            break
    await turns()
    assert answered.done()
    assert [record.value for record in given.brokers.records] == bodies
    assert sum(given.released) == held


async def test_a_body_larger_than_a_batch_goes_alone(given: Given) -> None:
    given.send(b"small", b"x" * 10_000, b"small too")
    for _ in range(3):
        await turns()
        given.brokers.acknowledge()
    assert [[len(value) for value in batch] for batch in given.values] == [[5], [10_000], [9]]


async def test_a_call_that_still_adds_is_not_answered_early(given: Given) -> None:
    ticket = Ticket(asyncio.get_running_loop().create_future())
    given.send(b"one", ticket=ticket, last=False)
    await turns()
    given.brokers.acknowledge()
    await turns()
    assert not ticket.acknowledged.done()
    answered, _ = given.send(b"two", ticket=ticket)
    await turns()
    given.brokers.acknowledge()
    await turns()
    assert answered.done()


async def test_a_client_that_has_gone_disturbs_nobody(given: Given) -> None:
    gone, gone_held = given.send(b"one")
    answered, held = given.send(b"two")
    gone.cancel()
    await turns()
    given.brokers.acknowledge()
    await turns()
    assert answered.done()
    assert given.released == [gone_held + held]


async def test_past_the_deadline_senders_are_told_and_the_one_batch_stays(given: Given) -> None:
    first, first_held = given.send(b"first")
    await turns()
    behind, behind_held = given.send(b"behind")
    given.clock.now_s += 10.0
    assert not given.lane.expire(10.0)
    given.clock.now_s += 0.1
    assert given.lane.expire(10.0)
    assert given.lane.away
    for answer in (first, behind):
        with pytest.raises(BrokerUnavailable, match="partition 2 for 10 s"):
            await answer
    assert given.released == [behind_held], "the batch that aiokafka still tries is still in memory"
    assert not given.lane.expire(10.0), "told once"
    given.brokers.acknowledge()
    await turns()
    assert not given.lane.away
    assert given.lane.idle
    assert sum(given.released) == first_held + behind_held
    assert given.values == [[b"first"]], "what was dropped is not sent later"


async def test_a_slow_broker_costs_only_those_who_waited_too_long(given: Given) -> None:
    first, _ = given.send(b"first")
    await turns()
    second, _ = given.send(b"x" * 4_000)
    given.clock.now_s += 6.0
    third, _ = given.send(b"y" * 4_000)
    given.brokers.acknowledge()
    await turns()
    given.clock.now_s += 6.0
    given.lane.expire(10.0)
    assert first.done()
    assert not second.done()
    assert not third.done()
    given.clock.now_s += 3.9
    fourth, _ = given.send(b"z" * 4_000)
    given.clock.now_s += 0.2
    assert given.lane.expire(10.0), "the second is out for more than 10 s"
    for answer in (second, third, fourth):
        with pytest.raises(BrokerUnavailable):
            await answer


async def test_what_waits_behind_a_moving_batch_expires_alone(given: Given) -> None:
    given.send(b"x" * 4_000)
    await turns()
    second, _ = given.send(b"x" * 4_000)
    third, held = given.send(b"y" * 4_000)
    given.clock.now_s += 9.0
    given.brokers.acknowledge()
    await turns()
    released = sum(given.released)
    given.clock.now_s += 2.0
    assert not given.lane.expire(10.0)
    with pytest.raises(BrokerUnavailable, match="slow"):
        await third
    assert sum(given.released) == released + held
    given.brokers.acknowledge()
    await turns()
    assert second.done()
    assert given.lane.idle


async def test_a_failure_ends_the_lane_and_abandon_tells_everyone(given: Given) -> None:
    out, out_held = given.send(b"out")
    await turns()
    behind, behind_held = given.send(b"behind")
    given.brokers.refuse(KafkaError("out of sequence"))
    await asyncio.wait([given.running])
    assert isinstance(given.running.exception(), KafkaError)
    given.lane.abandon(BrokerUnavailable("connection lost"))
    for answer in (out, behind):
        with pytest.raises(BrokerUnavailable, match="connection lost"):
            await answer
    assert sum(given.released) == out_held + behind_held
    assert given.lane.idle
