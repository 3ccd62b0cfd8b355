"""Ingest on a real Kafka: what was answered 200 is there, once and in order, whatever happens to the brokers."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from app.views import ingest
from config.settings import Settings
from deploy.cluster.process import LOCALHOST, free_port
from parsers.event import Event
from sources.errors import BrokerUnavailable, SourceError, TooLarge
from sources.partitioner import HostPartitioner
from sources.producer import HEADROOM_BYTES, GroupCommitProducer
from streaming.web_app import WebApp
from telemetry.flow import Flow
from tests.support.kafka import LiveKafka
from tests.support.polling import wait_until_async

pytestmark = pytest.mark.kafka

_numbers = itertools.count()

NewProducer = Callable[..., GroupCommitProducer]

SHORT_S = 2.0  # a deadline for brokers that do fail; where they don't, the usual one lets them stand still for a while


def new_topic(kafka: LiveKafka, **options: Any) -> str:
    name = f"ingest-{next(_numbers)}"
    kafka.create_topic(name, **{"partitions": 4, **options})
    return name


def event(body: bytes, **headers: str) -> Event:
    return Event(headers, body)


async def until_ready(producer: GroupCommitProducer, deadline_s: float = 30) -> None:
    async def is_ready() -> bool:
        return producer.ready

    await wait_until_async(is_ready, deadline_s, "the producer is ready")


async def until_sent(producer: GroupCommitProducer, sent: Event, deadline_s: float = 60) -> None:
    """Send it again and again, as a client that is answered 503 does."""

    async def taken() -> bool:
        await producer.send([sent])
        return True

    await wait_until_async(taken, deadline_s, "the brokers acknowledge again", retry_on=BrokerUnavailable)


@pytest.fixture
async def producers() -> AsyncIterator[NewProducer]:
    made: list[GroupCommitProducer] = []

    def make(bootstrap: str, topic: str, **options: Any) -> GroupCommitProducer:
        producer = GroupCommitProducer(
            bootstrap.split(","),
            topic,
            client_id="ingest-test",
            flow=Flow(topic, "destination"),
            **{"max_waiting_bytes": 100_000_000, **options},
        )
        made.append(producer)
        return producer

    yield make
    for producer in made:
        await asyncio.wait_for(producer.stop(drain_s=1), 20)
        flow = producer.flow
        assert producer.budget.used_bytes == 0
        assert flow.received == flow.sent + sum(flow.rejected.values())


async def test_records_are_in_kafka_when_send_returns(kafka: LiveKafka, producers: NewProducer) -> None:
    topic = new_topic(kafka)
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)
    before_ms = int(time.time() * 1000)
    await producer.send([event(b"\xff\0\n", host="wéb", n="1"), event(b"", type="x"), event(b"2", host="wéb", n="2")])
    records = kafka.consume(topic)
    keyed = [record for record in records if record.key is not None]
    assert [(record.key, record.value, record.headers) for record in keyed] == [
        ("wéb".encode(), b"\xff\0\n", (("host", "wéb".encode()), ("n", b"1"))),
        ("wéb".encode(), b"2", (("host", "wéb".encode()), ("n", b"2"))),
    ]
    assert {record.partition for record in keyed} == {HostPartitioner(4).locate("wéb")[1]}
    (keyless,) = [record for record in records if record.key is None]
    assert (keyless.value, keyless.headers) == (b"", (("type", b"x"),))
    assert all(before_ms <= record.timestamp <= before_ms + 60_000 for record in records)


async def test_concurrent_requests_are_written_once_and_in_order(kafka: LiveKafka, producers: NewProducer) -> None:
    topic = new_topic(kafka)
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)

    async def client(host: str) -> None:
        for number in range(100):
            await producer.send([event(b"%d" % (number * 3 + part), host=host) for part in range(3)])

    await asyncio.wait_for(asyncio.gather(*(client(f"host-{number}") for number in range(60))), 60)
    records = kafka.consume(topic)
    assert len(records) == 60 * 300
    for number in range(60):
        of_host = [int(record.value) for record in records if record.key == b"host-%d" % number]
        assert of_host == list(range(300))


async def test_a_large_request_spans_batches(kafka: LiveKafka, producers: NewProducer) -> None:
    topic = new_topic(kafka)
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)
    lines = [b"%07d " % number + b"x" * 80 for number in range(50_000)]
    await asyncio.wait_for(producer.send([Event({"host": "a"}, line) for line in lines]), 60)
    assert [record.value for record in kafka.consume(topic)] == lines


async def test_the_largest_event_is_taken_and_one_byte_more_is_refused(
    kafka: LiveKafka, producers: NewProducer
) -> None:
    """Random bytes, so that compression doesn't make them fit; against the brokers' own limit, not only ours."""
    limit = 300_000
    topic = new_topic(kafka, max_message_bytes=str(limit))
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)
    body = random.Random(1).randbytes(limit)
    size = limit - HEADROOM_BYTES
    with pytest.raises(TooLarge, match="event 2 is 3000"):
        await producer.send([event(b"small"), event(body, host="a")])
    assert kafka.consume(topic) == [], "nothing of a refused request is kept"
    while True:
        try:
            await producer.send([event(body[:size], host="a")])
            break
        except TooLarge:
            size -= 1
    assert size > limit - HEADROOM_BYTES - 150
    (record,) = kafka.consume(topic)
    assert record.value == body[:size]


async def test_a_limit_lowered_at_run_time_is_noticed(kafka: LiveKafka, producers: NewProducer) -> None:
    """The brokers refuse a batch, whose sequence numbers are lost: the producer is replaced, and asks again."""
    topic = new_topic(kafka)
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)
    await producer.send([event(b"1", host="a")])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"max.message.bytes": "20000"})])
    await admin.close()
    body = random.Random(1).randbytes(30_000)

    async def refused_for_good() -> bool:
        try:
            await producer.send([event(body, host="a")])
        except TooLarge:
            return True
        except BrokerUnavailable:
            return False
        return False

    await wait_until_async(refused_for_good, 30, "the new limit is known")
    await producer.send([event(b"2", host="a")])
    values = [record.value for record in kafka.consume(topic)]
    assert [value for value in values if len(value) == 1] == [b"1", b"2"]


async def test_partitions_added_at_run_time_are_used(
    kafka: LiveKafka, producers: NewProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.connection._METADATA_MAX_AGE_MS", 200)
    topic = new_topic(kafka, partitions=2)
    producer = producers(kafka.bootstrap, topic)
    await producer.start()
    await until_ready(producer)
    host = next(str(number) for number in range(100) if HostPartitioner(5).locate(str(number))[1] == 4)
    await producer.send([event(b"before", host=host)])
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.create_partitions({topic: NewPartitions(total_count=5)})
    await admin.close()

    async def used() -> bool:
        await producer.send([event(b"after", host=host)])
        return kafka.end_offsets(topic).get(4, 0) > 0

    await wait_until_async(used, 30, "the new partition is used", retry_on=BrokerUnavailable)


async def test_it_waits_for_its_topic_and_does_not_create_it(kafka: LiveKafka, producers: NewProducer) -> None:
    producer = producers(kafka.bootstrap, "ingest-not-there-yet")
    await producer.start()

    async def noticed() -> bool:
        return "UnknownTopicOrPartition" in (producer.flow.last_error or "")

    await wait_until_async(noticed, 30, "it says that the topic is missing")
    with pytest.raises(BrokerUnavailable, match="UnknownTopicOrPartition"):
        await producer.send([event(b"x")])
    assert "ingest-not-there-yet" not in kafka.topics()
    kafka.create_topic("ingest-not-there-yet")
    await until_ready(producer)
    await producer.send([event(b"x")])


@pytest.mark.slow
class TestBrokersFail:
    """Each on its own topic of a broker of this module's own."""

    async def test_it_starts_before_the_broker_does(self, fresh_kafka: LiveKafka, producers: NewProducer) -> None:
        topic = new_topic(fresh_kafka)
        fresh_kafka.service.stop()
        producer = producers(fresh_kafka.bootstrap, topic)
        await producer.start()
        with pytest.raises(BrokerUnavailable):
            await producer.send([event(b"x")])
        await asyncio.to_thread(fresh_kafka.service.start)
        await until_ready(producer)
        await producer.send([event(b"x")])
        assert len(fresh_kafka.consume(topic)) == 1

    async def test_a_broker_that_hangs_costs_the_deadline_once(
        self, fresh_kafka: LiveKafka, producers: NewProducer
    ) -> None:
        topic = new_topic(fresh_kafka, partitions=1)
        producer = producers(fresh_kafka.bootstrap, topic, deadline_s=SHORT_S)
        await producer.start()
        await until_ready(producer)
        await until_sent(producer, event(b"before"))
        fresh_kafka.service.pause()
        try:
            begun = time.monotonic()
            sends = [asyncio.create_task(producer.send([event(b"%d" % number)])) for number in range(50)]
            await asyncio.wait(sends, timeout=60)
            assert all(isinstance(send.exception(), BrokerUnavailable) for send in sends)
            assert 1.5 < time.monotonic() - begun < 20, "after its own 2 s, not after the 40 s of the Kafka client"
            assert not producer.ready
            with pytest.raises(BrokerUnavailable):
                producer.send([event(b"refused")]).send(None)  # at once: it does not wait for anything
        finally:
            fresh_kafka.service.cont()
        await until_sent(producer, event(b"after"))
        values = [record.value for record in fresh_kafka.consume(topic)]
        assert values[0] == b"before"
        assert values[-1] == b"after"
        assert b"refused" not in values
        numbers = [value for value in values if value.isdigit()]  # the others were sent again by this test
        assert len(numbers) == len(set(numbers)), "what aiokafka tried again is there once"

    async def test_a_killed_broker_loses_nothing_that_was_acknowledged(
        self, fresh_kafka: LiveKafka, producers: NewProducer
    ) -> None:
        topic = new_topic(fresh_kafka)
        producer = producers(fresh_kafka.bootstrap, topic, deadline_s=SHORT_S)
        await producer.start()
        await until_ready(producer)
        acknowledged: list[bytes] = []
        stop_at = asyncio.Event()

        async def client(name: int) -> None:
            """Sends again what was answered 503, as clients do."""
            number = 0
            while not stop_at.is_set():
                body = b"%d-%d" % (name, number)
                try:
                    await producer.send([event(body, host=f"host-{name}")])
                except BrokerUnavailable:
                    await asyncio.sleep(0.1)
                else:
                    acknowledged.append(body)
                    number += 1

        clients = [asyncio.create_task(client(name)) for name in range(20)]

        async def going() -> bool:
            return len(acknowledged) > 500

        await wait_until_async(going, 30, "events flow")
        await asyncio.to_thread(fresh_kafka.service.kill)
        await asyncio.to_thread(fresh_kafka.service.start)
        before = len(acknowledged)

        async def going_again() -> bool:
            return len(acknowledged) > before + 500

        await wait_until_async(going_again, 90, "events flow again")
        stop_at.set()
        await asyncio.wait_for(asyncio.gather(*clients), 30)
        records = fresh_kafka.consume(topic)
        assert {record.value for record in records} >= set(acknowledged)
        for name in range(20):
            numbers = [int(record.value.split(b"-")[1]) for record in records if record.key == b"host-%d" % name]
            first_seen = list(dict.fromkeys(numbers))
            assert first_seen == sorted(first_seen), "a host's events are in order"

    async def test_stopping_while_the_broker_hangs_takes_seconds(
        self, fresh_kafka: LiveKafka, producers: NewProducer
    ) -> None:
        topic = new_topic(fresh_kafka)
        producer = producers(fresh_kafka.bootstrap, topic, deadline_s=60.0)
        await producer.start()
        await until_ready(producer)
        fresh_kafka.service.pause()
        try:
            send = asyncio.create_task(producer.send([event(b"x", host=str(number)) for number in range(20)]))
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            await producer.stop(drain_s=0.5)
            assert time.monotonic() - begun < 20, "seconds, not the 60 s that the events may wait"
            with pytest.raises(BrokerUnavailable):
                await send
        finally:
            fresh_kafka.service.cont()

    async def test_memory_stays_bounded_while_it_hangs(self, fresh_kafka: LiveKafka, producers: NewProducer) -> None:
        topic = new_topic(fresh_kafka)
        producer = producers(fresh_kafka.bootstrap, topic, max_waiting_bytes=1_000_000, deadline_s=SHORT_S)
        await producer.start()
        await until_ready(producer)
        fresh_kafka.service.pause()
        try:
            sends = [asyncio.create_task(producer.send([event(b"x" * 5_000)])) for _ in range(1_000)]
            await asyncio.wait(sends, timeout=60)
            reasons = [error.reason for send in sends if isinstance(error := send.exception(), SourceError)]
            assert reasons.count("overloaded") > 700
            assert reasons.count("broker_unavailable") > 150
            assert len(reasons) == 1_000
        finally:
            fresh_kafka.service.cont()
        await until_sent(producer, event(b"after"))


async def test_http_from_end_to_end(kafka: LiveKafka, producers: NewProducer) -> None:
    topic = new_topic(kafka)
    producer = producers(kafka.bootstrap, topic)
    app = WebApp("ingest-test", broker=[kafka.bootstrap])
    app.conf.web_port = free_port()
    flow = Flow("http", "source")
    ingest.register(app, producer, Settings(), flow)
    await producer.start()
    await app.web.start()
    try:
        await until_ready(producer)
        async with ClientSession(f"http://{LOCALHOST}:{app.conf.web_port}") as session:

            async def post(number: int) -> int:
                body = [{"headers": {"host": f"web-{number % 5}", "n": number}, "body": f"line {number}"}]
                async with session.post("/logCollect2", json=body) as answer:
                    return answer.status

            assert set(await asyncio.gather(*(post(number) for number in range(500)))) == {200}
            async with session.post(
                "/ingest?type=x", data="one\r\n\ntwo\n", headers={"Content-Type": "text/plain"}
            ) as answer:
                assert answer.status == 200
    finally:
        await app.web.stop()
    records = kafka.consume(topic)
    posted = {record.value: dict(record.headers) for record in records if b"line" in record.value}
    assert posted == {
        b"line %d" % number: {"host": b"web-%d" % (number % 5), "n": b"%d" % number} for number in range(500)
    }
    assert [(record.key, record.value) for record in records if b"line" not in record.value] == [
        (None, b"one"),
        (None, b"two"),
    ]
    assert (flow.received, flow.sent) == (502, 502)
