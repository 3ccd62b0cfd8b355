"""What a kind of log needs to be monitored: how it is told, parsed, sent on and counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from agents.origin import Origin
from parsers.errors import ParseError
from tables.keys import Source
from tables.reader import Changes, Reader


class Record(Protocol):
    """What a raw record is asked for: aiokafka's own of its C reader, or a ConsumerRecord."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Columns(Protocol):
    """What was parsed of several records: a named tuple of columns of equal length, `ts` and whatever a route has."""

    @property
    def ts(self) -> Sequence[int | None]:
        """When each happened, epoch ms; None where the body does not say."""

    def take(self, places: Sequence[int], /) -> Columns:
        """The same columns, of the records at these places."""


class Table(Protocol):
    """The windows of one route and partition."""

    @property
    def name(self) -> str: ...

    def add_many(self, start_s: int, offsets: Sequence[int], sources: Sequence[Source], columns: Any) -> None:
        """Count records, offsets ascending, in the window that starts at `start_s`; those that it has not counted."""

    @property
    def entered(self) -> Iterable[int]:
        """The starts of the windows that the current batch has entered."""

    def collect(self, changes: Changes) -> None:
        """Put everything counted since the last time among `changes`."""

    def forget(self, start_s: int) -> None:
        """Forget a window that is deleted from the store."""

    def clear(self) -> None:
        """Forget everything: the store is what counts."""


class Route(Protocol):
    """A kind of log, shared by all partitions."""

    @property
    def name(self) -> str: ...
    @property
    def topic(self) -> str: ...
    def parse_many(self, bodies: Sequence[bytes], /) -> tuple[Any, Mapping[int, ParseError]]:
        """Columns of what was parsed, and by their place the errors of the bodies that are left out of them."""

    def encode_many(
        self,
        columns: Any,
        services: Sequence[str | None],
        hosts: Sequence[str | None],
        times_ms: Sequence[int],
        /,
    ) -> list[bytes]:
        """The topic's JSON of each record, from what was parsed, its service, host and time."""

    def takes(self, origin: Origin) -> bool:
        """Whether records of this origin are of this kind."""

    def table(self, reader: Reader, max_keys: int) -> Table:
        """The windows of one partition."""
