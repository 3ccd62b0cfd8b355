"""A Faust schema that decodes nothing: whoever handles the batch works on bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from faust.serializers.schemas import Schema
from faust.types import AppT, EventT
from faust.types.tuples import Message


class BatchSchema(Schema):
    """Makes an event of a message as it is: the value of a batched topic is a `Batch`, of others the raw bytes."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT]]:
        """Return the decoder that Faust calls for each message."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT:
            del propagate
            return create_event(message.key, message.value, message.headers, message)

        return decode

    async def decode(self, app: AppT, message: Message, *, propagate: bool = False) -> EventT:
        """Decode one message (Faust's uncompiled path)."""
        return app.create_event(message.key, message.value, message.headers, message)
