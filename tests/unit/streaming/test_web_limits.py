"""The bounds of the web server, and how its troubles are counted and told."""

from __future__ import annotations

import logging
import resource
from collections.abc import Iterator

import pytest

from config.descriptors import WANTED_DESCRIPTORS, descriptor_limit
from streaming.web_limits import SAY_AGAIN_S, Troubles, connections_within, descriptor_free


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def soft_limit() -> Iterator[tuple[int, int]]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_trouble_is_logged_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    troubles = Troubles(clock)
    for number in range(1_000):
        troubles.add("slow_head", f"192.0.2.{number % 10}")
        troubles.say()
    assert [record.getMessage() for record in caplog.records] == [
        "Clients of the web were refused or cut off: reason=slow_head new=1 newest_from=192.0.2.0"
    ]
    clock.now_s += SAY_AGAIN_S
    troubles.say()
    troubles.say()
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage().endswith("reason=slow_head new=999 newest_from=192.0.2.9")
    clock.now_s += SAY_AGAIN_S
    troubles.say()
    assert len(caplog.records) == 2
    assert troubles.counts == {"slow_head": 1_000}
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_each_reason_has_a_line_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles(Clock())
    for reason in ("a", "b", "a", "b"):
        troubles.add(reason, "192.0.2.1")
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("descriptors", "connections"), [(65_536, 16_384), (20_000, 16_384), (4_096, 2_048), (1_024, 512), (8, 4), (1, 1)]
)
def test_some_descriptors_are_left_to_the_rest_of_the_worker(descriptors: int, connections: int) -> None:
    assert connections_within(16_384, descriptors) == connections


def test_the_soft_limit_is_raised(soft_limit: tuple[int, int]) -> None:
    _, hard = soft_limit
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(900, hard), hard))
    assert descriptor_limit() == (
        WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    )
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == descriptor_limit()


def test_where_it_may_not_be_raised_it_stays(monkeypatch: pytest.MonkeyPatch, soft_limit: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, soft_limit[1]))

    def refuse(_what: int, _limits: tuple[int, int]) -> None:
        raise ValueError("not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(resource, "setrlimit", refuse)
        assert descriptor_limit() == 500


def test_it_notices_when_descriptors_run_out(soft_limit: tuple[int, int]) -> None:
    assert descriptor_free()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, soft_limit[1]))
    try:
        assert not descriptor_free()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, soft_limit)
