"""uvloop as the event loop, and aiokafka kept alive on it.

A write to a transport that is closed raises OSError on asyncio's loops and RuntimeError on uvloop. aiokafka 0.14.0
expects the former: the latter ended its task that refreshes metadata, for good, and with it the consumer's way back to
the group's coordinator after a broker had been killed (seen in one of three runs on a busy machine).
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

_send = AIOKafkaConnection.send


def install() -> None:
    """Run every event loop made from now on by uvloop; for all Kafka clients of the process a closed transport is a
    broken connection. Calling it again changes nothing.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    AIOKafkaConnection.send = _send_or_broken


def _send_or_broken(connection: Any, request: Any, expect_response: bool = True) -> Any:
    """aiokafka's `send`. Raises KafkaConnectionError, the connection closed, also where uvloop says RuntimeError."""
    try:
        return _send(connection, request, expect_response)
    except KafkaError:  # which are RuntimeErrors too
        raise
    except RuntimeError as exc:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"Connection at {connection.host}:{connection.port} broken: {exc}") from exc
