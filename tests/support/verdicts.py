"""What an oracle may say, each a function of plain data: raises AssertionError with what does not hold.

Nothing here asks a service, and nothing uses the code that is judged: lines are read again, by other means.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from tests.support.events import id_of

Position = tuple[int, int]  # partition and offset
Cell = tuple[int, str]  # a window's start, and what it is a window of

_ACCESS = re.compile(rb'\S+ \S+ \S+ \[([^\]]+)\] "[A-Z]+ (\S+) HTTP/1\.1" (\d{3}) (\d+)')
_DATA_FILE = re.compile(
    r"data/type=([^/]+)/dt=\d{4}-\d\d-\d\d/hour=\d\d/raw-log\+(\d+)\+(\d{20})\+(\d{20})\.jsonl(?:\.gz|\.zst)?"
)


class Record(Protocol):
    """What is looked at of a Kafka record."""

    partition: int
    offset: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def header(record: Record, name: str) -> str:
    """A header's text, empty where there is none."""
    return dict(record.headers).get(name, b"").decode()


def is_access_line(record: Record) -> bool:
    """Whether it belongs in `access-log`."""
    return header(record, "type") == "access_log" and _ACCESS.fullmatch(record.value) is not None


def is_order(record: Record) -> bool:
    """Whether it belongs in `business-orders`."""
    return _is_of_orders(record) and record.value.startswith(b"{")


def is_malformed(record: Record) -> bool:
    """Whether it belongs in `dead-letter`."""
    if header(record, "type") == "access_log":
        return not is_access_line(record)
    return _is_of_orders(record) and not is_order(record)


def _is_of_orders(record: Record) -> bool:
    return (header(record, "type"), header(record, "logger")) == ("business", "orders")


def acknowledged_are_there(raw: Iterable[Record], acknowledged: Collection[str], attempted: Collection[str]) -> None:
    """No acknowledged event is missing, and none is there that nobody sent."""
    ids = {id_of(record.value) for record in raw}
    missing, foreign = set(acknowledged) - ids, ids - set(attempted)
    assert not missing, f"{len(missing)} acknowledged events are lost, such as {sorted(missing)[:5]}"
    assert not foreign, f"{len(foreign)} events were never sent, such as {sorted(foreign)[:5]}"


def history_has_each_once(raw: Mapping[Position, Record], rows: Iterable[Mapping[str, Any]]) -> None:
    """Each raw offset is in exactly one file, which its name says it is in, with all its bytes and headers."""
    files: defaultdict[Position, list[str]] = defaultdict(list)
    for row in rows:
        at = row["partition"], row["offset"]
        files[at].append(row["file"])
        record = raw.get(at)
        assert record is not None, f"{row['file']}: {at} is not in raw-log"
        body = base64.b64decode(row["body_base64"]) if "body_base64" in row else row["body"].encode()
        assert body == record.value, f"{row['file']}: {at} has the body {body!r}, not {record.value!r}"
        headers = {name: value.decode() for name, value in record.headers}
        assert row["headers"] == headers, f"{row['file']}: {at} has the headers {row['headers']}, not {headers}"
        named = _DATA_FILE.fullmatch(row["file"])
        assert named is not None, f"{row['file']} is no name of a data file"
        kind, partition, first, last = named.groups()
        inside = int(partition) == at[0] and int(first) <= at[1] <= int(last)
        assert inside, f"{row['file']} has {at}, which its name excludes"
        assert kind == _escaped(header(record, "type")), f"{row['file']} has a record of type {headers.get('type')!r}"
    twice = {at: where for at, where in files.items() if len(where) > 1}
    assert not twice, f"{len(twice)} records stand twice in the history, such as {sorted(twice.items())[:3]}"
    missing = set(raw) - set(files)
    assert not missing, f"{len(missing)} of {len(raw)} are not in the history, such as {sorted(missing)[:5]}"


def topic_has_each_once(topic: str, records: Iterable[Record], expected: Iterable[Record]) -> None:
    """A monitoring topic has each of the expected raw offsets once, and nothing else."""
    seen = Counter(raw_position(record) for record in records)
    wanted = {(record.partition, record.offset) for record in expected}
    twice = [at for at, times in seen.items() if times > 1]
    assert not twice, f"{topic}: {len(twice)} offsets stand twice, such as {sorted(twice)[:5]}"
    missing, foreign = wanted - set(seen), set(seen) - wanted
    assert not missing, f"{topic}: {len(missing)} of {len(wanted)} offsets are missing, such as {sorted(missing)[:5]}"
    assert not foreign, f"{topic}: {len(foreign)} offsets should not be there, such as {sorted(foreign)[:5]}"


def topic_tells_of_the_same(topic: str, records: Iterable[Record], raw: Mapping[Position, Record], field: str) -> None:
    """Each record of a monitoring topic has in `field` the id of the raw record that it names."""
    for record in records:
        said, meant = json.loads(record.value)[field], id_of(raw[raw_position(record)].value)
        assert id_of(said.encode()) == meant, f"{topic}: {raw_position(record)} is {meant}, and {said} was told of it"


def letters_are_unchanged(letters: Iterable[Record], raw: Mapping[Position, Record]) -> None:
    """Each dead letter has its raw record's bytes and headers, and says why it is one."""
    for letter in letters:
        at = raw_position(letter)
        assert letter.value == raw[at].value, f"dead-letter: {at} has the body {letter.value!r}, not {raw[at].value!r}"
        missing = set(raw[at].headers) - set(letter.headers)
        assert not missing, f"dead-letter: {at} has lost {missing}"
        assert header(letter, "reason"), f"dead-letter: {at} does not say why"


def access_windows_are_exact(
    windows: Iterable[Mapping[str, Any]], window_s: int, raw: Iterable[Record], since_s: int = 0
) -> None:
    """Requests, bytes and statuses of each window and service are what raw-log's lines add up to.

    Windows that start before `since_s` are left out on both sides: those that are kept no longer.
    """
    expected: defaultdict[Cell, Counter[str]] = defaultdict(Counter)
    for record in raw:
        line = _ACCESS.fullmatch(record.value) if is_access_line(record) else None
        if line is not None:
            at_s = int(datetime.strptime(line[1].decode(), "%d/%b/%Y:%H:%M:%S %z").timestamp())
            service = header(record, "service") or header(record, "host")
            cell = expected[at_s // window_s * window_s, service]
            cell.update({"requests": 1, "bytes": int(line[4]), f"s{int(line[3])}": 1})
    counted = {
        (each["start"], each["service"]): Counter(
            requests=each["requests"],
            bytes=each["bytes"],
            **{f"s{status}": times for status, times in each["status"].items()},
        )
        for each in windows
    }
    _same("access windows", counted, expected, since_s, lambda cell: cell["requests"])


def order_windows_are_exact(
    windows: Iterable[Mapping[str, Any]], window_s: int, raw: Iterable[Record], since_s: int = 0
) -> None:
    """Count and revenue of each window and status are what raw-log's orders add up to; as the access windows."""
    expected: defaultdict[Cell, Counter[str]] = defaultdict(Counter)
    for record in filter(is_order, raw):
        order = json.loads(record.value)
        start = order["ts"] // 1000 // window_s * window_s
        expected[start, order["status"]].update({"count": 1, "revenue": order["amount"]})
    counted = {
        (each["start"], each["key"]["status"]): Counter(count=each["count"], revenue=each["revenue"])
        for each in windows
    }
    _same("windows of orders", counted, expected, since_s, lambda cell: cell["count"])


def _same(
    what: str,
    counted: Mapping[Cell, Counter[str]],
    expected: Mapping[Cell, Counter[str]],
    since_s: int,
    size: Callable[[Counter[str]], int],
) -> None:
    counted = {cell: value for cell, value in counted.items() if cell[0] >= since_s}
    expected = {cell: value for cell, value in expected.items() if cell[0] >= since_s}
    wrong = [cell for cell in {**counted, **expected} if counted.get(cell) != expected.get(cell)]
    assert not wrong, (
        f"{what}: {sum(map(size, counted.values()))} counted, {sum(map(size, expected.values()))} sent; "
        f"{len(wrong)} windows are wrong, such as "
        f"{[(cell, counted.get(cell), expected.get(cell)) for cell in sorted(wrong)[:3]]}"
    )


def raw_position(record: Record) -> Position:
    """The raw offset that a record of a monitoring topic says it was made of."""
    partition, _, offset = header(record, "raw").partition("/")
    return int(partition), int(offset)


def _escaped(kind: str) -> str:
    return re.sub(rb"[^A-Za-z0-9._-]", lambda found: b"%%%02X" % found[0][0], kind.encode()).decode() or "unknown"
