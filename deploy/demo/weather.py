"""What the traffic is like at a moment: a wave every few minutes, and an incident that the dashboard should show."""

from __future__ import annotations

import math
from typing import NamedTuple

WAVE_S = 240.0
INCIDENT_EVERY_S = 180.0
INCIDENT_LASTS_S = 40.0
_FIRST_INCIDENT_AT_S = 60.0  # soon enough for somebody who looks for a minute or two


class Incident(NamedTuple):
    """What has gone wrong: which service suffers, how, and the exception in its log."""

    name: str
    service: str
    failing: float  # share of its requests that end in a 5xx
    slower: float  # factor on latency
    exception: str
    cause: str


INCIDENTS = (
    Incident(
        "the payment provider times out",
        "shop",
        0.22,
        9.0,
        "com.example.shop.PaymentFailedException: payment provider did not answer within 3000 ms",
        "java.net.SocketTimeoutException: Read timed out",
    ),
    Incident(
        "the account database has no free connection",
        "account",
        0.35,
        6.0,
        "org.springframework.jdbc.CannotGetJdbcConnectionException: Failed to obtain JDBC Connection",
        "java.sql.SQLTransientConnectionException: HikariPool-1 - Connection is not available, "
        "request timed out after 30000ms",
    ),
)


class Weather(NamedTuple):
    """`load` is a factor on the rate, 1 on average over a wave."""

    load: float
    incident: Incident | None


def weather(elapsed_s: float) -> Weather:
    """The weather so many seconds after the start; the same at each start."""
    load = 1.0 + 0.5 * math.sin(2 * math.pi * elapsed_s / WAVE_S)
    since_first = elapsed_s - _FIRST_INCIDENT_AT_S
    if since_first < 0 or since_first % INCIDENT_EVERY_S >= INCIDENT_LASTS_S:
        return Weather(load, None)
    return Weather(load, INCIDENTS[int(since_first // INCIDENT_EVERY_S) % len(INCIDENTS)])
