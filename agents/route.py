"""What a kind of log needs to be monitored: how it is told, parsed, sent on and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from agents.origin import Headers, Origin
from agents.outcome import Tally
from tables.keys import Source
from tables.reader import Changes, Reader


class Record(Protocol):
    """What a raw record is asked for; aiokafka's ConsumerRecord is one."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Parsed(Protocol):
    """What every parsed record has, whatever else its route makes of it."""

    @property
    def ts(self) -> int | None:
        """When it happened, epoch ms; None where the body does not say."""


class Table(Protocol):
    """The windows of one route and partition."""

    @property
    def name(self) -> str: ...

    def add(self, start_s: int, offset: int, source: Source, parsed: Any) -> None:
        """Count a record in the window that starts at `start_s`, unless the window has counted `offset` already."""

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
    """A kind of log, shared by all partitions. `parse` and `encode` raise ParseError for what is not of its format."""

    @property
    def name(self) -> str: ...
    @property
    def topic(self) -> str: ...
    @property
    def parse(self) -> Callable[[bytes], Any]:
        """From a body to a Parsed."""

    @property
    def encode(self) -> Callable[[Any, str | None, str | None, int], bytes]:
        """From what was parsed, its service, host and the record's time to the topic's JSON."""

    def takes(self, origin: Origin) -> bool:
        """Whether records of this origin are of this kind."""

    def table(self, reader: Reader, max_keys: int) -> Table:
        """The windows of one partition."""


class Target:
    """A route on one partition: its functions at hand, its windows, and what the current batch was for it."""

    __slots__ = ("add", "encode", "name", "parse", "route", "table", "tally", "topic")

    def __init__(self, route: Route, reader: Reader, max_keys: int) -> None:
        self.route = route
        self.name = route.name
        self.topic = route.topic
        self.parse = route.parse
        self.encode = route.encode
        self.table = route.table(reader, max_keys)
        self.add = self.table.add
        self.tally = Tally()
