"""Answers and query strings."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from app.answers import Query, error_answer, json_answer
from app.errors import BadRequest, BrokersUnavailable, GroupRunning, TopicMissing


def query(**given: str) -> Query:
    return Query(SimpleNamespace(query={name.rstrip("_"): value for name, value in given.items()}))


def test_numbers() -> None:
    assert query().integer("n", 20, 1, 1000) == 20
    assert query(n="").integer("n", 20, 1, 1000) == 20
    assert query(n="1000").integer("n", 20, 1, 1000) == 1000


@pytest.mark.parametrize("value", ["0", "1001", "-1", "1.5", "1e3", "x", "٣", " 5", "9" * 5000, "1\n"])
def test_a_bad_number_is_refused_in_one_line_that_names_the_parameter(value: str) -> None:
    with pytest.raises(BadRequest, match=r"^n=") as refused:
        query(n=value).integer("n", 20, 1, 1000)

    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


def test_instants_are_epoch_seconds_and_widened_to_whole_ones() -> None:
    assert query(from_="1767225600.7", to="1767225600.9").span() == (1767225600, 1767225601)
    assert query().span() == (None, None)


@pytest.mark.parametrize("value", ["1767225600000", "yesterday", "-1", "1e9", "nan", "inf"])
def test_what_is_no_instant_is_refused(value: str) -> None:
    with pytest.raises(BadRequest, match=r"^from="):
        query(from_=value).span()


def test_a_span_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"^to=5: must not be before from=6"):
        query(from_="6", to="5").span()


def test_steps_are_multiples_of_the_window() -> None:
    assert query().step(10) == 10
    assert query(step="60").step(10) == 60
    with pytest.raises(BadRequest, match=r"^step=15: must be a multiple of the window, 10 s"):
        query(step="15").step(10)


def test_choices() -> None:
    assert query(by="path").choice("by", ("path",), "path") == "path"
    with pytest.raises(BadRequest, match=r"^by=nobody: must be one of path, host"):
        query(by="nobody").choice("by", ("path", "host"), "path")


def test_json_takes_what_utf8_has_no_place_for() -> None:
    answer = json_answer({"path": "/\ud800", "n": 2**70})

    assert json.loads(answer.body) == {"path": "/\ud800", "n": 2**70}
    assert answer.content_type == "application/json; charset=utf-8"


def test_errors_have_their_status_and_one_line() -> None:
    assert error_answer(BadRequest("n=x: no")).status == 400
    away = error_answer(BrokersUnavailable("Kafka is away"))
    assert (away.status, json.loads(away.body), away.headers["Retry-After"]) == (503, {"error": "Kafka is away"}, "2")
    assert error_answer(TopicMissing("no raw-log")).status == 503


def test_an_error_that_no_view_can_answer_for_is_not_hidden() -> None:
    with pytest.raises(GroupRunning):
        error_answer(GroupRunning("running"))
