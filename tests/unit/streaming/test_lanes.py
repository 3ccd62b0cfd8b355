"""Lanes: order, back-off, closing in time; with a consumer and handlers that record what happens to them."""

import asyncio
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streaming import lanes as lanes_module
from streaming.batches import Batch
from streaming.lanes import Lane, Lanes
from tests.support.polling import PATIENCE_S, wait_until_async

TP0 = TP("raw-log", 0)


async def until(condition: Callable[[], bool]) -> None:
    async def ask() -> bool:
        return condition()

    await wait_until_async(ask, 5, "the lane to get there")


class Consumer:
    """What a lane needs of the consumer."""

    def __init__(self) -> None:
        self.epoch = 0
        self.released: list[int] = []
        self.held = 0
        self.assigned = True
        self.committed: list[list[TP]] = []

    async def release(self, tp: TP, offset: int) -> int | None:
        if not self.assigned:
            return None
        self.epoch += 1
        self.released.append(offset)
        return self.epoch

    def hold(self, tp: TP) -> None:
        self.held += 1

    def taken(self, batch: Batch) -> None:
        pass

    async def commit_now(self, tps: Any) -> None:
        self.committed.append(list(tps))


class Handler:
    """Handles by writing down; raises what it is told to."""

    tick_s = 0.01
    linger_s = 0.0

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.opened = 0
        self.abandoned = 0
        self.closed = 0
        self.failures: list[Exception] = []
        self.open_failures: list[Exception] = []
        self.blocked = asyncio.Event()
        self.block = False
        self.close_failure: Exception | None = None

    async def open(self) -> int:
        self.opened += 1
        if self.open_failures:
            raise self.open_failures.pop(0)
        return self.handled[-1] + 1 if self.handled else 0

    async def handle(self, batches: Sequence[Batch]) -> int | None:
        if self.block:
            await self.blocked.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.handled += [record.offset for batch in batches for record in batch.records]
        return batches[-1].next_offset

    async def tick(self) -> int | None:
        return None

    async def close(self) -> int | None:
        self.closed += 1
        if self.close_failure is not None:
            raise self.close_failure
        return None

    async def abandon(self) -> None:
        self.abandoned += 1


class Event:
    """A Faust event, as far as lanes go."""

    def __init__(self, batch: Batch) -> None:
        self.value = batch
        self.message = SimpleNamespace(tp=batch.tp)
        self.acked = False

    def ack(self) -> None:
        self.acked = True


def event(first: int, epoch: int, size: int = 2) -> Event:
    return Event(Batch(TP0, [SimpleNamespace(offset=first + i) for i in range(size)], epoch))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "BACKOFF_S", (0.01,))


async def test_batches_are_handled_in_order_and_acknowledged() -> None:
    consumer, handler = Consumer(), Handler()
    lane = Lane(TP0, handler, consumer)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    await until(lambda: lane.state == "running")
    events = [event(0, 1), event(2, 1), event(4, 1)]
    for each in events:
        lane.deliver(each)  # type: ignore[arg-type]
    await until(lambda: all(each.acked for each in events))
    assert handler.handled == [0, 1, 2, 3, 4, 5]
    assert lane.position == 6
    lane.request_close()
    await running
    assert (handler.closed, lane.state) == (1, "closed")


async def test_a_stale_batch_is_dropped() -> None:
    consumer, handler = Consumer(), Handler()
    lane = Lane(TP0, handler, consumer)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    await until(lambda: lane.state == "running")
    lane.deliver(event(0, 0))  # type: ignore[arg-type]
    current = event(0, 1)
    lane.deliver(current)  # type: ignore[arg-type]
    await until(lambda: current.acked)
    assert handler.handled == [0, 1]
    lane.request_close()
    await running


@pytest.mark.usefixtures("quick")
async def test_a_failure_starts_over_and_acknowledges_nothing() -> None:
    consumer, handler = Consumer(), Handler()
    handler.failures = [ConnectionError("broker away")]
    lane = Lane(TP0, handler, consumer)  # type: ignore[arg-type]
    running = asyncio.create_task(lane.run())
    await until(lambda: lane.state == "running")
    lost = event(0, 1)
    lane.deliver(lost)  # type: ignore[arg-type]
    await until(lambda: consumer.epoch == 2)
    assert not lost.acked
    assert (handler.abandoned, consumer.held) == (1, 1)
    again = event(0, 2)
    lane.deliver(again)  # type: ignore[arg-type]
    await until(lambda: again.acked)
    assert handler.handled == [0, 1]
    lane.request_close()
    await running


@pytest.mark.usefixtures("quick")
async def test_a_fatal_error_stops_the_partition_and_keeps_the_reason() -> None:
    class Gone(Exception):
        retriable = False

    consumer, handler = Consumer(), Handler()
    handler.open_failures = [Gone("offsets 3 to 9 are gone")]
    lanes = Lanes(SimpleNamespace(consumer=consumer), "raw-log", lambda tp: handler, close_within_s=PATIENCE_S)
    await lanes.on_assigned([TP0])
    await until(lambda: lanes.lanes[TP0].state == "failed")
    assert lanes.problems() == ["raw-log[0] failed: Gone: offsets 3 to 9 are gone"]
    assert not lanes.ready
    await lanes.close_all()
    assert handler.opened == 1


@pytest.mark.parametrize("may_lag", [True, False])
async def test_only_lanes_of_a_destination_may_back_off_in_a_ready_worker(may_lag: bool) -> None:
    consumer, handler = Consumer(), Handler()
    handler.open_failures = [ConnectionError("HDFS away")]
    lanes = Lanes(
        SimpleNamespace(consumer=consumer), "raw-log", lambda tp: handler, close_within_s=PATIENCE_S, may_lag=may_lag
    )
    await lanes.on_assigned([TP0])
    await until(lambda: lanes.lanes[TP0].state == "backing off")
    assert lanes.ready == may_lag
    assert lanes.problems() == ["raw-log[0] backing off: ConnectionError: HDFS away"]
    await lanes.close_all()


async def test_a_revocation_finishes_what_was_taken_up_and_commits() -> None:
    consumer, handler = Consumer(), Handler()
    lanes = Lanes(SimpleNamespace(consumer=consumer), "raw-log", lambda tp: handler, close_within_s=PATIENCE_S)
    await lanes.on_assigned([TP0, TP("other", 0)])
    await until(lambda: lanes.lanes[TP0].state == "running")
    handler.block = True
    taken = event(0, 1)
    lanes.deliver(taken)  # type: ignore[arg-type]
    await until(lambda: bool(lanes.lanes[TP0]._unacknowledged))
    asyncio.get_running_loop().call_later(0.05, handler.blocked.set)
    await lanes.on_revoked([TP0])
    assert taken.acked
    assert handler.handled == [0, 1]
    assert (handler.closed, consumer.committed) == (1, [[TP0]])
    assert lanes.owned() == []


async def test_a_lane_that_does_not_finish_in_time_is_abandoned() -> None:
    consumer, handler = Consumer(), Handler()
    lanes = Lanes(SimpleNamespace(consumer=consumer), "raw-log", lambda tp: handler, close_within_s=0.05)
    await lanes.on_assigned([TP0])
    await until(lambda: lanes.lanes[TP0].state == "running")
    handler.block = True
    stuck = event(0, 1)
    lanes.deliver(stuck)  # type: ignore[arg-type]
    await until(lambda: bool(lanes.lanes[TP0]._unacknowledged))
    await lanes.on_revoked([TP0])
    assert not stuck.acked
    assert (handler.abandoned, handler.closed) == (1, 0)


async def test_a_lane_that_cannot_finish_lets_go_without_harm() -> None:
    consumer, handler = Consumer(), Handler()
    handler.close_failure = ConnectionError("HDFS away")
    crashes: list[BaseException] = []
    lanes = Lanes(
        SimpleNamespace(consumer=consumer, crash=crashes.append),
        "raw-log",
        lambda tp: handler,
        close_within_s=PATIENCE_S,
    )
    await lanes.on_assigned([TP0])
    await until(lambda: lanes.lanes[TP0].state == "running")
    await lanes.on_revoked([TP0])
    assert (handler.closed, handler.abandoned, crashes, lanes.owned()) == (1, 1, [], [])


async def test_a_lane_that_is_cancelled_by_nobody_crashes_the_application() -> None:
    class Cancelling(Handler):
        async def open(self) -> int:
            raise asyncio.CancelledError

    crashes: list[BaseException] = []

    async def crash(exc: BaseException) -> None:
        crashes.append(exc)

    app = SimpleNamespace(consumer=Consumer(), crash=crash)
    lanes = Lanes(app, "raw-log", lambda tp: Cancelling(), close_within_s=PATIENCE_S)
    await lanes.on_assigned([TP0])
    await until(lambda: bool(crashes))
    assert "was cancelled" in str(crashes[0])


async def test_a_lane_that_is_cancelled_while_it_opens_lets_go_of_what_it_has_opened() -> None:
    class Recovering(Handler):
        async def open(self) -> int:
            self.opened += 1
            await self.blocked.wait()
            return 0

    consumer, handler = Consumer(), Recovering()
    lanes = Lanes(SimpleNamespace(consumer=consumer), "raw-log", lambda tp: handler, close_within_s=0.05)
    await lanes.on_assigned([TP0])
    await until(lambda: handler.opened == 1)
    await lanes.on_revoked([TP0])
    assert (handler.abandoned, handler.closed) == (1, 0)
