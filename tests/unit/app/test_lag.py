"""Lag, from what the brokers say."""

from __future__ import annotations

import pytest

from app.brokers import Position
from app.lag import lag_json, total_lag


@pytest.mark.parametrize(
    ("position", "lag"),
    [
        (Position(committed=10, begin=0, end=25), 15),
        (Position(committed=25, begin=0, end=25), 0),
        (Position(committed=None, begin=5, end=25), 20),  # never committed: everything that there is
        (Position(committed=2, begin=5, end=25), 20),  # what retention took can't be read any more
        (Position(committed=30, begin=0, end=25), 0),  # the topic was created anew
    ],
)
def test_records_still_to_be_read(position: Position, lag: int) -> None:
    assert position.lag == lag


def test_the_contracts_shape() -> None:
    positions = {0: Position(3, 0, 5), 1: Position(None, 0, 4)}

    assert lag_json({"sluice-monitor": {"raw-log": positions}}) == {
        "groups": {
            "sluice-monitor": {
                "raw-log": {
                    "0": {"committed": 3, "end": 5, "lag": 2},
                    "1": {"committed": None, "end": 4, "lag": 4},
                }
            }
        }
    }
    assert total_lag(positions) == 6
