"""What Sluice assumes of the private parts of Faust, mode and aiokafka: an upgrade that breaks one fails here."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.app.base import App, BootStrategy
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode import Service
from mode import Worker as ModeWorker

from streaming.app import BatchApp
from streaming.batches import Batch, BatchTopic
from streaming.consumer import BatchConsumer, BatchConsumerThread
from streaming.web_app import WebApp
from streaming.worker import Worker


def source(thing: Any) -> str:
    return inspect.getsource(thing)


def test_the_versions_are_the_ones_that_were_read() -> None:
    assert (version("faust-streaming"), version("mode-streaming"), version("aiokafka")) == ("0.15.3", "0.7.1", "0.14.0")


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (driver.Consumer, "_new_consumer_thread"),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer"),
        (driver.AIOKafkaConsumerThread, "_ensure_consumer"),
        (driver.AIOKafkaConsumerThread, "call_thread"),
        (faust_consumer.Consumer, "getmany"),
        (faust_consumer.Consumer, "_new_offset"),
        (faust_consumer.Consumer, "_filter_tps_with_pending_acks"),
        (faust_consumer.Consumer, "_add_gap"),
        (faust_consumer.Consumer, "_get_active_partitions"),
        (faust_consumer.Consumer, "verify_event_path"),
        (faust_consumer.Consumer, "seek_to_committed"),
        (App, "_new_transport"),
        (App, "_new_web"),
        (App, "_stop_consumer"),
        (BootStrategy, "server"),
        (BootStrategy, "kafka_consumer"),
        (BootStrategy, "web_server"),
        (BootStrategy, "sensors"),
        (ModeWorker, "_shutdown_loop"),
    ],
)
def test_what_is_overridden_exists(owner: type, name: str) -> None:
    assert callable(getattr(owner, name))


@pytest.mark.parametrize("ours", [BatchConsumer, BatchConsumerThread, BatchApp, WebApp, Worker])
def test_overrides_take_the_arguments_of_what_they_override(ours: type) -> None:
    for name, function in vars(ours).items():
        theirs = next((vars(base)[name] for base in ours.__mro__[1:] if name in vars(base)), None)
        if name.startswith("__") or not inspect.isfunction(function) or not inspect.isfunction(theirs):
            continue
        mine = inspect.signature(function).parameters
        if any(p.kind is p.VAR_KEYWORD for p in mine.values()):
            continue
        needed = [n for n, p in inspect.signature(theirs).parameters.items() if p.default is p.empty]
        assert [n for n in needed if n not in mine and not n.startswith("_")] in ([], ["kwargs"], ["args", "kwargs"])


def test_faust_reads_messages_through_getmany_and_drops_what_is_behind_read_offset() -> None:
    text = source(faust_consumer.Consumer._drain_messages)
    assert "getmany = self.getmany" in text
    assert "r_offset is None or offset >= r_offset" in text  # why `release` sets _read_offset to None
    assert "self._add_gap(tp, r_offset + 1, offset)" in text  # why _add_gap is passed over for batches


def test_faust_commits_what_new_offset_says_if_it_is_ahead() -> None:
    assert "self._new_offset(tp)" in source(faust_consumer.Consumer._filter_committable_offsets)
    assert "committed is None or bool(offset) and offset > committed" in source(faust_consumer.Consumer._should_commit)


def test_revocation_forgets_offsets_before_and_calls_the_application_after() -> None:
    text = source(faust_consumer.Consumer.on_partitions_revoked)
    assert text.index("_committed_offset.pop") < text.index("_on_partitions_revoked")
    text = source(App._on_partitions_revoked)
    assert text.index("stop_flow") < text.index("on_partitions_revoked.send")


def test_a_stopping_application_stops_its_consumer_first_and_once() -> None:
    text = source(App.on_stop)
    assert text.count("await self._stop_consumer()") == 1
    assert text.index("_stop_consumer") < text.index("on_before_shutdown.send")


def test_streams_resume_by_seeking_to_the_committed_offsets() -> None:
    assert "await self.seek_to_committed()" in source(faust_consumer.Consumer.perform_seek)


def test_an_empty_set_of_partitions_would_fetch_all() -> None:
    # `if partitions and tp not in partitions`: why _fetch never asks for an empty set.
    assert "if partitions and tp not in partitions" in source(Fetcher.fetched_records)


def test_the_fetch_loop_looks_its_fetch_up_each_time_and_tells_whether_there_was_anything() -> None:
    assert "self._proc_fetch_request(" in source(Fetcher._fetch_requests_routine)  # why `pace` may replace it
    assert source(Fetcher._proc_fetch_request).rstrip().endswith("return needs_wakeup")


def test_the_consumer_needs_no_started_producer() -> None:
    app = BatchApp("t", broker=["127.0.0.1:1"])
    assert app.producer.buffer.size == 0  # flush() of an unstarted producer returns at once when nothing waits
    assert not app.boot_strategy._should_enable_kafka_producer()


def test_a_message_carries_a_batch_as_its_value() -> None:
    class Record:
        offset = 7

    batch = Batch(TP("t", 0), [Record()], 1)
    message = ConsumerMessage("t", 0, 7, 0.0, 0, None, None, batch, None, 0, 0, TP("t", 0), generation_id=1)
    assert message.value is batch


def test_batch_builders_take_a_list_of_headers_and_any_first_record() -> None:
    builder = BatchBuilder(100, 0)
    assert builder.append(timestamp=1, key=None, value=b"x" * 1000, headers=[("raw", b"0/1")]) is not None
    assert builder.append(timestamp=1, key=None, value=b"x", headers=[]) is None
    with pytest.raises(TypeError):
        BatchBuilder(100, 0).append(timestamp=1, key=None, value=b"x", headers=())


def test_the_application_starts_lanes_after_the_consumer_and_no_leader() -> None:
    app = BatchApp("t", broker=["127.0.0.1:1"])
    lanes = app.lane_agent("a", "raw-log", lambda tp: None, close_within_s=1)  # type: ignore[arg-type, return-value]
    services = list(app.boot_strategy.server())
    assert lanes in services
    assert services.index(app.consumer) < services.index(lanes)
    assert app._leader_assignor not in services
    assert app.producer not in services


def test_batched_topics_are_declared_by_name() -> None:
    app = BatchApp("t", broker=["127.0.0.1:1"])
    app.batch_topic(BatchTopic("raw-log", held=True))
    assert app.batched["raw-log"].held


def test_the_web_application_consumes_nothing_and_starts_the_web_first() -> None:
    app = WebApp("t", broker=["127.0.0.1:1"])
    service = Service()
    app.services.append(service)
    services = list(app.boot_strategy.server())
    assert services.index(app.web) < services.index(service)
    assert not any(isinstance(each, faust_consumer.Consumer) for each in services)
    assert (app.conf.web_host, app.conf.web_port) == ("127.0.0.1", 6066)


def test_aiokafka_offers_the_sticky_assignor() -> None:
    from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

    assert StickyPartitionAssignor.name == "sticky"
    assert aiokafka.AIOKafkaConsumer is not None
    assert faust.Worker is not None
