"""What is shown of a dead letter, whatever is in it."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.answers import json_answer
from app.dead_letter import BODY_MAX_BYTES, HEADERS_MAX, DeadLetter, utf8_prefix


def letter(value: bytes | None, headers: list[tuple[str, bytes | None]] | None = None) -> DeadLetter:
    told = [("reason", b"no_pattern_matches"), ("error", b"why"), ("raw", b"2/17"), ("type", b"access_log")]
    record: Any = SimpleNamespace(
        value=value, headers=told if headers is None else headers, timestamp=1000, partition=2, offset=5
    )
    return DeadLetter.of(record)


def test_reason_error_and_place_are_told_apart_from_the_raw_headers() -> None:
    assert letter(b"GET").json() == {
        "reason": "no_pattern_matches",
        "error": "why",
        "raw": "2/17",
        "ts": 1000,
        "offset": "2/5",
        "headers": {"type": "access_log"},
        "body": "GET",
        "truncated": False,
    }


def test_a_body_that_is_not_utf8_comes_in_base64() -> None:
    shown = letter(b"\xff\xfe").json()

    assert base64.b64decode(shown["body_base64"]) == b"\xff\xfe"
    assert "body" not in shown


def test_a_giant_body_is_cut_between_characters() -> None:
    shown = letter("ä".encode() * BODY_MAX_BYTES).json()
    odd = letter(b"x" + "ä".encode() * BODY_MAX_BYTES).json()

    assert (shown["truncated"], len(shown["body"])) == (True, BODY_MAX_BYTES // 2)
    assert odd["body"] == "x" + "ä" * (BODY_MAX_BYTES // 2 - 1)


def test_a_body_that_ends_in_half_a_character_is_not_text() -> None:
    assert utf8_prefix(b"caf\xc3", cut=False) is None
    assert utf8_prefix(b"caf\xc3", cut=True) == "caf"


def test_very_many_and_very_long_headers_are_cut() -> None:
    shown = letter(b"", [(f"h{i}", b"v" * 100_000) for i in range(5000)])

    assert len(shown.headers) == HEADERS_MAX
    assert max(map(len, shown.headers.values())) < 2000
    assert shown.truncated


@given(
    st.one_of(st.none(), st.binary(max_size=40)),
    st.lists(st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=9))), max_size=6),
)
def test_any_record_can_be_shown(value: bytes | None, headers: list[tuple[str, bytes | None]]) -> None:
    assert json.loads(json_answer(letter(value, headers).json()).body)["offset"] == "2/5"
