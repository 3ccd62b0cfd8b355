"""Where a replay starts."""

from __future__ import annotations

import pytest

from app.errors import BadRequest
from app.replay_from import Earliest, FromInstant, FromOffset, FromOffsets, instant_instead, parse

NOON_MS = 1_769_860_800_000  # 2026-01-31T12:00:00Z


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("earliest", Earliest()),
        ("0", FromOffset(0)),
        ("123456789012", FromOffset(123456789012)),
        ("0:5,2:7", FromOffsets({0: 5, 2: 7})),
        ("2026-01-31T12:00:00Z", FromInstant(NOON_MS)),
        ("2026-01-31T12:00:00", FromInstant(NOON_MS)),
        ("2026-01-31 13:00:00+01:00", FromInstant(NOON_MS)),
        ("2026-01-31", FromInstant(NOON_MS - 12 * 3_600_000)),
        ("@1769860800", FromInstant(NOON_MS)),
        ("@1769860800.5", FromInstant(NOON_MS + 500)),
        ("@1769860800000", FromInstant(NOON_MS)),
    ],
)
def test_what_people_write(text: str, meant: object) -> None:
    assert parse(text) == meant


@pytest.mark.parametrize("text", ["", "latest", "-5", "0:", "0:1,0:2", "@", "@x", "noon", "2026-13-01", "1e9", "٣"])
def test_what_is_nothing_of_that_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"^--from"):
        parse(text)


def test_a_number_beyond_every_end_that_can_be_an_instant_is_one() -> None:
    now_ms = NOON_MS + 1000

    assert instant_instead(FromOffset(NOON_MS // 1000), {0: 10, 1: 99}, now_ms) == FromInstant(NOON_MS)
    assert instant_instead(FromOffset(NOON_MS), {0: 10}, now_ms) == FromInstant(NOON_MS)


def test_a_number_that_can_be_an_offset_is_one() -> None:
    number = FromOffset(NOON_MS // 1000)

    assert instant_instead(number, {0: 10, 1: NOON_MS}, NOON_MS + 1000) == number
    assert instant_instead(FromOffset(500), {0: 10}, NOON_MS) == FromOffset(500)
    assert instant_instead(number, {0: 10}, NOON_MS - 1) == number  # in the future
