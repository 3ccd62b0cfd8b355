"""What a replay does to the offset of each partition."""

from __future__ import annotations

from app.brokers import Position
from app.replay_monitor import plan


def planned(wanted: int, position: Position) -> tuple[int | None, int]:
    (step,) = plan({0: wanted}, {0: position})
    return step.new, step.records


def test_back_to_where_it_is_wanted() -> None:
    assert planned(40, Position(committed=90, begin=10, end=100)) == (40, 60)


def test_not_before_what_kafka_has() -> None:
    (step,) = plan({0: 5}, {0: Position(committed=90, begin=10, end=100)})

    assert (step.new, step.why) == (10, "Kafka has nothing before 10")


def test_never_forward_over_records_that_were_not_read() -> None:
    assert planned(95, Position(committed=90, begin=10, end=100)) == (None, 10)
    assert planned(90, Position(committed=90, begin=10, end=100)) == (None, 10)
    assert planned(500, Position(committed=90, begin=10, end=100)) == (None, 10)


def test_a_group_that_never_committed_can_be_set_to_the_start_only() -> None:
    assert planned(10, Position(committed=None, begin=10, end=100)) == (10, 90)
    assert planned(11, Position(committed=None, begin=10, end=100)) == (None, 90)


def test_out_of_a_hole_that_retention_made() -> None:
    (step,) = plan({0: 0}, {0: Position(committed=50, begin=70, end=100)})

    assert (step.new, step.records, step.why) == (70, 30, "50 to 69 are gone from Kafka, unread")
    assert planned(80, Position(committed=50, begin=70, end=100)) == (None, 30)


def test_out_of_a_topic_that_was_created_anew() -> None:
    assert planned(0, Position(committed=500, begin=0, end=20)) == (0, 20)
    assert planned(400, Position(committed=500, begin=0, end=20)) == (20, 0)
