"""How keys and values appear in messages."""

import pytest

from config.wording import did_you_mean, listed, printable, quoted, without_secrets


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("webhdfs://nn:9870/logs", "webhdfs://nn:9870/logs"),
        ("webhdfs://me@nn:9870/logs", "webhdfs://me@nn:9870/logs"),
        ("webhdfs://me:hunter2@nn:9870/logs", "webhdfs://me:***@nn:9870/logs"),
        ("webhdfs://me:hun/ter@2@nn/logs", "webhdfs://me:***@nn/logs"),
        ("me:hunter2@nn", "me:***@nn"),
        ("KAFKA://me:hunter2@b:1", "KAFKA://me:***@b:1"),
        ("kafka://b:1;kafka://me:hunter2@b:2", "kafka://b:***@b:2"),
        ("webhdfs://nn/logs?delegation=abc&op=x", "webhdfs://nn/logs?delegation=***&op=***"),
        ("me:hun\nter2@nn", "me:***@nn"),
        ("me:hunter2://@nn", "me:***@nn"),
    ],
)
def test_a_password_is_hidden_wherever_it_stands(text, shown):
    assert without_secrets(text) == shown


def test_quoted_is_short_and_obeys_nobody():
    assert quoted("a\x1b[31m") == "'a\\x1b[31m'"
    assert len(quoted("x" * 10_000)) < 160
    assert quoted("x" * 10_000).endswith("(10002 characters)")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é", "plain é"),
        ("\x1b[2J\x00", "\\x1b[2J\\x00"),
        ("\ud800", "\\ud800"),
        ("\u202e", "\\u202e"),
        ("a\nb", "a\\nb"),
    ],
)
def test_printable_writes_out_what_a_terminal_would_obey(text, shown):
    assert printable(text) == shown


def test_did_you_mean():
    assert did_you_mean("loger", ["logger", "name"]) == "; did you mean 'logger'?"
    assert did_you_mean("zzz", ["logger", "name"]) == ""
    assert did_you_mean("SLUICE_X", ["SLUICE_BROKER"], "SLUICE_") == ""
    assert did_you_mean("SLUICE_BROKR", ["SLUICE_BROKER"], "SLUICE_") == "; did you mean 'SLUICE_BROKER'?"


def test_listed():
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a or b"
    assert listed(["a", "b", "c"]) == "a, b or c"
