"""Records of one partition as columns: what a batch holds instead of an object for each of its records.

Objects that the garbage collector has to look at, several for each record, cost a quarter of all CPU
(docs/decisions/0012-compiled-parts.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple, overload

Headers = tuple[tuple[str, "bytes | None"], ...]


class Record(NamedTuple):
    """One of them, for whoever asks for one."""

    offset: int
    timestamp: int  # epoch ms
    key: bytes | None
    value: bytes | None
    headers: Headers


_new = tuple.__new__  # a NamedTuple's own __new__ takes three times as long


class Records(Sequence[Record]):
    """Records in the order of their offsets, column by column.

    `headers[header_ids[n]]` are the headers of record n: records that share theirs have the same id. `headers` may hold
    more than these records have.
    """

    __slots__ = ("header_ids", "headers", "keys", "offsets", "timestamps", "values")

    def __init__(
        self,
        offsets: Sequence[int],
        timestamps: list[int],
        keys: list[bytes | None],
        values: list[bytes | None],
        header_ids: list[int],
        headers: list[Headers],
    ) -> None:
        self.offsets = offsets
        self.timestamps = timestamps
        self.keys = keys
        self.values = values
        self.header_ids = header_ids
        self.headers = headers

    @classmethod
    def of(cls, records: Iterable[Any]) -> Records:
        """Columns of objects that have what `Record` has."""
        if type(records) is cls:
            return records
        listed = list(records)
        known: dict[Headers, int] = {}
        header_ids, last, header_id = [], None, 0
        for record in listed:
            headers = record.headers
            if headers != last:
                last = headers
                header_id = known.setdefault(tuple(headers), len(known))
            header_ids.append(header_id)
        return cls(
            [record.offset for record in listed],
            [record.timestamp for record in listed],
            [record.key for record in listed],
            [record.value for record in listed],
            header_ids,
            list(known),
        )

    @classmethod
    def joined(cls, parts: Sequence[Records]) -> Records:
        """The records of all parts, which follow each other."""
        if len(parts) == 1:
            return parts[0]
        joined = cls(range(0), [], [], [], [], parts[0].headers if parts else [])
        for part in parts:
            joined._extend(part)
        return joined

    def _extend(self, part: Records) -> None:
        ours, theirs = self.offsets, part.offsets
        if not ours:
            self.offsets = theirs
        elif type(ours) is range and type(theirs) is range and ours.stop == theirs.start:
            self.offsets = range(ours.start, theirs.stop)
        else:
            self.offsets = [*ours, *theirs]
        if part.headers is self.headers:
            self.header_ids += part.header_ids
        else:
            first = len(self.headers)
            self.headers = [*self.headers, *part.headers]
            self.header_ids += [first + number for number in part.header_ids]
        self.timestamps += part.timestamps
        self.keys += part.keys
        self.values += part.values

    def take(self, places: Iterable[int]) -> Records:
        """The records at these places."""
        kept = list(places)
        return Records(
            [self.offsets[place] for place in kept],
            [self.timestamps[place] for place in kept],
            [self.keys[place] for place in kept],
            [self.values[place] for place in kept],
            [self.header_ids[place] for place in kept],
            self.headers,
        )

    def place_of(self, offset: int) -> int:
        """The place of the first record that is at or after an offset; their number where there is none."""
        offsets = self.offsets
        return 0 if not offsets or offset <= offsets[0] else bisect_left(offsets, offset)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Records: ...
    def __getitem__(self, place: int | slice) -> Record | Records:
        if isinstance(place, slice):
            return Records(
                self.offsets[place],
                self.timestamps[place],
                self.keys[place],
                self.values[place],
                self.header_ids[place],
                self.headers,
            )
        return Record(
            self.offsets[place],
            self.timestamps[place],
            self.keys[place],
            self.values[place],
            self.headers[self.header_ids[place]],
        )

    def __iter__(self) -> Iterator[Record]:
        headers = map(self.headers.__getitem__, self.header_ids)
        columns = zip(self.offsets, self.timestamps, self.keys, self.values, headers, strict=True)
        return map(_new, repeat(Record), columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{len(self)} records{f' from {self.offsets[0]} to {self.offsets[-1]}' if self.values else ''}>"
