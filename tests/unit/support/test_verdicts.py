"""Each verdict of the oracle is content with a sound run, and fires on the one thing that it is there to find."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tests.support import verdicts
from tests.support.events import Sent, binary_event, event

WINDOW_S = 10


class Raw(NamedTuple):
    """A Kafka record, as far as verdicts look."""

    partition: int
    offset: int
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def made(number: int) -> Sent:
    return binary_event(f"0-{number}", number) if number == 60 else event(f"0-{number}", number, random.Random(number))


SENT = [made(number) for number in range(120)]
RAW = [
    Raw(number % 2, number // 2, each.raw, [(name, value.encode()) for name, value in each.headers.items()])
    for number, each in enumerate(SENT)
]
BY_POSITION = {(record.partition, record.offset): record for record in RAW}
IDS = [each.id for each in SENT]


def row(record: Raw) -> dict[str, Any]:
    kind = verdicts.header(record, "type").replace("/", "%2F")
    body = {"body": record.value.decode()} if b"\xff" not in record.value else {}
    return {
        "file": f"data/type={kind}/dt=2025-11-21/hour=12/raw-log+{record.partition}+{0:020d}+{99:020d}.jsonl.gz",
        "partition": record.partition,
        "offset": record.offset,
        "headers": {name: value.decode() for name, value in record.headers},
        **(body or {"body_base64": base64.b64encode(record.value).decode()}),
    }


def forwarded(record: Raw, value: bytes, *more: tuple[str, bytes]) -> Raw:
    return Raw(0, 0, value, [*more, ("raw", b"%d/%d" % (record.partition, record.offset))])


def letter(record: Raw) -> Raw:
    return forwarded(record, record.value, *record.headers, ("reason", b"no_match"))


ROWS = [row(record) for record in RAW]
LINES = [record for record in RAW if verdicts.is_access_line(record)]
ORDERS = [record for record in RAW if verdicts.is_order(record)]
MALFORMED = [record for record in RAW if verdicts.is_malformed(record)]
LETTERS = [letter(record) for record in MALFORMED]
TOLD = [forwarded(record, json.dumps({"query": record.value.decode().split("?")[1]}).encode()) for record in LINES]


def access_windows() -> list[dict[str, Any]]:
    """What a worker would show, from the events as they were sent."""
    cells: defaultdict[tuple[int, str], Counter[Any]] = defaultdict(Counter)
    windows = []
    for sent in SENT:
        if " HTTP/1.1" in sent.body:
            status, size = map(int, sent.body.split()[-2:])
            at_s = datetime.strptime(sent.body.split("[")[1].split("]")[0], "%d/%b/%Y:%H:%M:%S %z").timestamp()
            cell = cells[int(at_s) // WINDOW_S * WINDOW_S, sent.headers["service"]]
            cell.update({"requests": 1, "bytes": size, status: 1})
    for (start, service), cell in cells.items():
        statuses = {str(name): times for name, times in cell.items() if isinstance(name, int)}
        windows.append(
            {
                "start": start,
                "service": service,
                "status": statuses,
                "requests": cell["requests"],
                "bytes": cell["bytes"],
            }
        )
    return windows


def order_windows() -> list[dict[str, Any]]:
    cells: defaultdict[tuple[int, str], list[float]] = defaultdict(list)
    for sent in SENT:
        if sent.body.startswith("{"):
            order = json.loads(sent.body)
            cells[order["ts"] // 1000 // WINDOW_S * WINDOW_S, order["status"]].append(order["amount"])
    return [
        {"start": start, "key": {"status": status}, "count": len(amounts), "revenue": sum(amounts)}
        for (start, status), amounts in cells.items()
    ]


def changed(rows: Sequence[dict[str, Any]], at: int, **changes: Any) -> list[dict[str, Any]]:
    return [{**each, **changes} if number == at else each for number, each in enumerate(rows)]


def test_the_events_are_of_every_kind() -> None:
    assert (len(ORDERS), len(MALFORMED)) == (7, 4)
    assert {verdicts.header(record, "type") for record in RAW} == {"access_log", "catalina", "business", "bin/ary"}
    assert verdicts.header(RAW[47], "logger") == "audit"
    assert not any(judge(RAW[47]) for judge in (verdicts.is_access_line, verdicts.is_order, verdicts.is_malformed))
    assert len(LINES) == 120 - 7 - 4 - 1 - 10 - 2, "the rest are binary, catalina and audit"


# -- acknowledged


def test_acknowledged_events_are_there_also_twice() -> None:
    verdicts.acknowledged_are_there([*RAW, RAW[0]], IDS[:50], IDS)


def test_a_lost_event_is_found() -> None:
    with pytest.raises(AssertionError, match=r"1 acknowledged events are lost, such as .*0-7"):
        verdicts.acknowledged_are_there([r for r in RAW if r != RAW[7]], IDS, IDS)


def test_an_event_that_nobody_sent_is_found() -> None:
    with pytest.raises(AssertionError, match=r"1 events were never sent, such as .*0-7"):
        verdicts.acknowledged_are_there(RAW, [], [each for each in IDS if each != "0-7"])


# -- history


def test_a_sound_history() -> None:
    verdicts.history_has_each_once(BY_POSITION, ROWS)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS[1:], "1 of 120 are not in the history"),
        ([*ROWS, {**ROWS[4], "file": ROWS[4]["file"].replace("=12", "=13")}], "1 records stand twice"),
        ([*ROWS, ROWS[4]], "1 records stand twice"),
        ([*ROWS, {**ROWS[4], "offset": 98}], "is not in raw-log"),
        (changed(ROWS, 4, body=ROWS[4]["body"] + " "), "has the body"),
        (changed(ROWS, 60, body_base64=base64.b64encode(b"\xff").decode()), "has the body"),
        (changed(ROWS, 4, headers={**ROWS[4]["headers"], "host": "web-0"}), "has the headers"),
        (changed(ROWS, 4, file="data/part-0.jsonl"), "is no name of a data file"),
        (changed(ROWS, 4, file=ROWS[4]["file"].replace(f"+{0:020d}+", f"+{3:020d}+")), "which its name excludes"),
        (changed(ROWS, 4, file=ROWS[4]["file"].replace("raw-log+0", "raw-log+1")), "which its name excludes"),
        (changed(ROWS, 4, file=ROWS[4]["file"].replace("access_log", "catalina")), "a record of type 'access_log'"),
    ],
)
def test_an_unsound_history_is_found(rows: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        verdicts.history_has_each_once(BY_POSITION, rows)


# -- topics


def test_a_sound_topic() -> None:
    verdicts.topic_has_each_once("access-log", TOLD, LINES)
    verdicts.topic_tells_of_the_same("access-log", TOLD, BY_POSITION, "query")


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (TOLD[1:], "access-log: 1 of 96 offsets are missing"),
        ([*TOLD, TOLD[3]], "access-log: 1 offsets stand twice"),
        ([*TOLD, letter(MALFORMED[0])], "access-log: 1 offsets should not be there"),
    ],
)
def test_an_unsound_topic_is_found(records: list[Raw], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        verdicts.topic_has_each_once("access-log", records, LINES)


def test_a_record_made_of_another_line_is_found() -> None:
    mixed_up = [TOLD[0]._replace(value=TOLD[1].value), *TOLD[1:]]
    with pytest.raises(AssertionError, match="was told of it"):
        verdicts.topic_tells_of_the_same("access-log", mixed_up, BY_POSITION, "query")


def test_sound_dead_letters() -> None:
    verdicts.topic_has_each_once("dead-letter", LETTERS, MALFORMED)
    verdicts.letters_are_unchanged(LETTERS, BY_POSITION)


@pytest.mark.parametrize(
    ("changed_letter", "said"),
    [
        (LETTERS[0]._replace(value=b""), "has the body"),
        (forwarded(MALFORMED[0], MALFORMED[0].value, ("reason", b"x")), "has lost"),
        (forwarded(MALFORMED[0], MALFORMED[0].value, *MALFORMED[0].headers), "does not say why"),
    ],
)
def test_a_changed_dead_letter_is_found(changed_letter: Raw, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        verdicts.letters_are_unchanged([changed_letter, *LETTERS[1:]], BY_POSITION)


# -- windows


def test_exact_windows() -> None:
    verdicts.access_windows_are_exact(access_windows(), WINDOW_S, RAW)
    verdicts.order_windows_are_exact(order_windows(), WINDOW_S, RAW)


@pytest.mark.parametrize("change", [{"requests": 1}, {"bytes": 1}, {"status": {"200": 1}}, {"start": 0}])
def test_a_window_that_counts_wrong_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"access windows: \d+ counted, 96 sent; [12] windows are wrong"):
        verdicts.access_windows_are_exact(changed(access_windows(), 0, **change), WINDOW_S, RAW)


@pytest.mark.parametrize("change", [{"count": 99}, {"revenue": 0.25}, {"key": {"status": "lost"}}])
def test_a_window_of_orders_that_counts_wrong_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match=r"windows of orders: \d+ counted, 7 sent; [12] windows are wrong"):
        verdicts.order_windows_are_exact(changed(order_windows(), 0, **change), WINDOW_S, RAW)


def test_a_window_that_is_not_there_is_found() -> None:
    with pytest.raises(AssertionError, match="1 windows are wrong"):
        verdicts.access_windows_are_exact(access_windows()[1:], WINDOW_S, RAW)


def test_windows_that_are_kept_no_longer_are_left_out() -> None:
    windows = access_windows()
    expired = [*changed(windows, 0, requests=0), {**windows[0], "start": 0}]
    verdicts.access_windows_are_exact(expired, WINDOW_S, RAW, since_s=max(each["start"] for each in windows) + WINDOW_S)
