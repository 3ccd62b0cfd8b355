"""Instants of business logs, and the cache of repeated timestamps."""

from datetime import datetime, timezone

import pytest

from parsers.timestamps import StampCache, iso8601_ms, number_ms, text_ms

NOON = int(datetime(2024, 2, 29, 12, 34, 56, tzinfo=timezone.utc).timestamp()) * 1000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-02-29T12:34:56Z", NOON),
        ("2024-02-29t12:34:56z", NOON),
        ("2024-02-29T12:34:56", NOON),
        ("2024-02-29 12:34:56", NOON),
        ("2024-02-29 12:34:56 +0000", NOON),
        ("2024-02-29T13:34:56+01:00", NOON),
        ("2024-02-29T13:34:56+01", NOON),
        ("2024-02-29T07:04:56-0530", NOON),
        ("2024-02-29T12:34:56.7Z", NOON + 700),
        ("2024-02-29T12:34:56,0429", NOON + 42),
        ("2024-02-29T12:34:56.999999999Z", NOON + 999),
        ("2024-02-29T12:34Z", NOON - 56_000),
        ("2023-12-31T23:59:60Z", 1_704_067_200_000),
    ],
)
def test_iso_8601(text: str, expected: int) -> None:
    assert iso8601_ms(text) == expected
    assert text_ms(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "2024-02-29", "2024-02-30T00:00:00Z", "2024-02-29T24:00:00Z", "2024-02-29T12:34:56+19:00", "12:34:56",
     "2024-02-29T12:34:56Zulu", "٢٠٢٤-02-29T12:34:56Z", "2024-02-29T12:34:61Z", "-5", "1e9", " 1709210096", "0x10"],
)  # fmt: skip
def test_no_instant(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        text_ms(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1709210096, NOON),
        (1709210096000, NOON),
        (1709210096.5, NOON + 500),
        (1709210096000.9, NOON),
        (1.001, 1001),
        (0, 0),
        (99_999_999_999, 99_999_999_999_000),  # the largest number of seconds, the year 5138
        (100_000_000_000, 100_000_000_000),  # the smallest of milliseconds, 1973
    ],
)
def test_seconds_and_milliseconds_are_told_apart_by_magnitude(value: float, expected: int) -> None:
    assert number_ms(value) == expected
    if value >= 1:
        assert text_ms(str(value)) == expected


@pytest.mark.parametrize("value", [-1, 10**14, 10**30, float("nan"), float("inf"), -0.5])
def test_numbers_that_are_no_instant(value: float) -> None:
    with pytest.raises(ValueError, match="not epoch"):
        number_ms(value)


def test_cache_is_bounded_and_remembers() -> None:
    asked: list[str] = []

    def parse(text: str) -> int:
        asked.append(text)
        return int(text)

    cache = StampCache(parse)
    for number in range(3 * StampCache.LIMIT):
        assert cache(str(number)) == cache(str(number)) == number
    assert len(asked) == 3 * StampCache.LIMIT
    assert 0 < len(cache.known) <= StampCache.LIMIT
