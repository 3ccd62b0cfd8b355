"""A tail source on real files, with rotations, restarts and a Kafka that fails."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sources.tail.positions import CannotTail
from tests.support.polling import wait_until_async
from tests.support.rotation import Topic, Writer, end_as_killed, new_tail, tail_config


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "logs"
    path.mkdir()
    return path


@asynccontextmanager
async def running(data_dir, topic, config, **options):
    tail = new_tail(data_dir, topic, config, **options)
    await tail.start()
    try:
        yield tail
    finally:
        await tail.stop()


async def has(topic, *bodies):
    async def there():
        return len(topic.bodies) >= len(bodies)

    try:
        await wait_until_async(there, 30, f"{len(bodies)} events")
    finally:
        assert topic.bodies == list(bodies)


def lines(*numbers):
    return b"".join(b"line %d\n" % number for number in numbers)


def of(*numbers):
    return [b"line %d" % number for number in numbers]


async def test_lines_with_their_headers(tmp_path, logs):
    file = logs / "a.log"
    file.write_bytes(b"one\r\n\n\xff\x00two\nhalf")
    topic = Topic()
    config = tail_config(logs / "*.log", headers={"type": "x", "service": "shop", "file": "not this"})
    async with running(tmp_path, topic, config) as tail:
        await has(topic, b"one", b"\xff\x00two")
        with file.open("ab") as more:
            more.write(b" done\n")
        await has(topic, b"one", b"\xff\x00two", b"half done")
        assert tail.flow.received == tail.flow.sent == tail.flow.accepted == 3
        assert tail.flow.notes["files"] == 1
    headers = [dict(event.headers) for event in topic.events]
    assert {each.pop("tail").partition("/")[0] for each in headers} == {
        headers and topic.events[0].headers["tail"][:12]
    }
    common = {"type": "x", "service": "shop", "host": "web-1", "file": str(file)}
    assert headers == [{**common, "offset": offset} for offset in ("0", "6", "12")]


async def test_a_host_of_ones_own_and_headers_that_override(tmp_path, logs):
    (logs / "a.log").write_bytes(b"one\n")
    topic = Topic()
    config = tail_config(logs / "*.log", headers={"host": "db-1", "file": "this"}, override=True)
    async with running(tmp_path, topic, config):
        await has(topic, b"one")
    assert topic.events[0].headers["host"] == "db-1"
    assert topic.events[0].headers["file"] == "this"


async def test_a_restart_goes_on(tmp_path, logs):
    file = logs / "a.log"
    file.write_bytes(lines(1, 2) + b"line")
    topic = Topic()
    config = tail_config(logs / "*.log")
    async with running(tmp_path, topic, config):
        await has(topic, *of(1, 2))
    with file.open("ab") as more:
        more.write(b" 3\nline 4\n")
    (logs / "b.log").write_bytes(lines(5))
    async with running(tmp_path, topic, config):
        await has_all(topic, 1, 2, 3, 4, 5)


@pytest.mark.parametrize("matches", [True, False])
async def test_a_rename_while_it_runs(tmp_path, logs, matches):
    writer = Writer(logs / "a.log")
    topic = Topic()
    config = tail_config(logs / ("a.log*" if matches else "a.log"))
    async with running(tmp_path, topic, config):
        writer.write(lines(1))
        await has(topic, *of(1))
        writer.write(lines(2))
        writer.rename(logs / "a.log.1", reopen=False)
        writer.write(lines(3))
        await has(topic, *of(1, 2, 3))
        writer.reopen()
        writer.write(lines(4))
        with (logs / "a.log.1").open("ab") as late:
            late.write(lines(5))
        await has_all(topic, 1, 2, 3, 4, 5)
    writer.close()


async def has_all(topic, *numbers):
    """All of them, whatever the order of lines of different files."""

    async def there():
        return len(topic.bodies) >= len(numbers)

    try:
        await wait_until_async(there, 30, f"{len(numbers)} events")
    finally:
        assert sorted(topic.bodies) == sorted(of(*numbers))


@pytest.mark.parametrize("name", ["a.log.1", "elsewhere"])
async def test_a_rename_while_it_is_down(tmp_path, logs, name):
    writer = Writer(logs / "a.log")
    topic = Topic()
    config = tail_config(logs / "a.log")
    async with running(tmp_path, topic, config):
        writer.write(lines(1, 2))
        await has(topic, *of(1, 2))
    writer.write(lines(3))
    writer.rename(logs / name)
    writer.write(lines(4))
    async with running(tmp_path, topic, config):
        await has(topic, *of(1, 2, 3, 4))
    writer.close()


@pytest.mark.parametrize("matches", [True, False])
@pytest.mark.parametrize("down", [True, False])
async def test_copytruncate(tmp_path, logs, matches, down):
    writer = Writer(logs / "a.log")
    topic = Topic()
    config = tail_config(logs / ("a.log*" if matches else "a.log"))
    async with running(tmp_path, topic, config):
        writer.write(lines(1, 2))
        await has(topic, *of(1, 2))
        if not down:
            writer.write(lines(3))
            writer.copy_and_truncate(logs / "a.log.1")
            writer.write(lines(4, 5, 6, 7))
            await has(topic, *of(1, 2, 3, 4, 5, 6, 7))
    if down:
        writer.write(lines(3))
        writer.copy_and_truncate(logs / "a.log.1")
        writer.write(lines(4, 5, 6, 7))
        async with running(tmp_path, topic, config):
            await has(topic, *of(1, 2, 3, 4, 5, 6, 7))
    async with running(tmp_path, topic, config):
        writer.write(lines(8))
        await has(topic, *of(1, 2, 3, 4, 5, 6, 7, 8))
    writer.close()


class HeldUp(Topic):
    """Answers only while `open` is set."""

    def __init__(self):
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, events):
        await self.open.wait()
        await super().send(events)


async def test_a_copy_is_known_though_the_original_has_grown_again_and_kafka_holds_up_its_reader(tmp_path, logs):
    writer = Writer(logs / "a.log")
    topic = HeldUp()
    passed_s = 0.0
    config = tail_config(logs / "a.log*")
    async with running(tmp_path, topic, config, clock=lambda: time.monotonic() + passed_s) as tail:
        writer.write(lines(1, 2))
        await has(topic, *of(1, 2))
        topic.open.clear()
        writer.write(lines(3))
        await wait_until_async(lambda: _true(tail.flow.received == 3), 30, "the line on its way")
        writer.copy_and_truncate(logs / "a.log.1")
        writer.write(lines(4, 5, 6, 7))
        watch = tail._watch
        await wait_until_async(lambda: _true(watch._held or len(watch.files) == 2), 30, "the copy to be seen")
        passed_s = 10.0
        scans = watch._scans
        await wait_until_async(lambda: _true(watch._scans > scans + 2), 30, "a look at it when it has settled")
        topic.open.set()
        await has(topic, *of(1, 2, 3, 4, 5, 6, 7))
    writer.close()


async def test_a_file_that_is_deleted_and_made_anew(tmp_path, logs):
    file = logs / "a.log"
    topic = Topic()
    async with running(tmp_path, topic, tail_config(file)):
        file.write_bytes(lines(1, 2, 3))
        await has(topic, *of(1, 2, 3))
        file.unlink()
        file.write_bytes(lines(4))
        await has(topic, *of(1, 2, 3, 4))


async def test_the_same_inode_with_other_content_while_it_is_down(tmp_path, logs):
    file = logs / "a.log"
    topic = Topic()
    async with running(tmp_path, topic, tail_config(file)):
        file.write_bytes(lines(1, 2, 3))
        await has(topic, *of(1, 2, 3))
    with file.open("r+b") as same:  # as the file system may give the inode of a deleted file to the next one
        same.truncate()
        same.write(lines(4, 5, 6, 7))
    async with running(tmp_path, topic, tail_config(file)):
        await has(topic, *of(1, 2, 3, 4, 5, 6, 7))


async def test_what_was_unread_of_a_deleted_file_is_still_read(tmp_path, logs):
    writer = Writer(logs / "a.log")
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        writer.write(lines(1))
        await has(topic, *of(1))
        writer.write(lines(2))
        (logs / "a.log").unlink()
        writer.write(lines(3))
        await has(topic, *of(1, 2, 3))
    writer.close()


async def test_two_names_are_one_file(tmp_path, logs):
    (logs / "a.log").write_bytes(lines(1))
    (logs / "link.log").symlink_to("a.log")
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        await has(topic, *of(1))
        with (logs / "link.log").open("ab") as more:
            more.write(lines(2))
        await has(topic, *of(1, 2))


async def test_a_link_that_is_led_elsewhere(tmp_path, logs):
    (logs / "a.1").write_bytes(lines(1))
    (logs / "a.log").symlink_to("a.1")
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        await has(topic, *of(1))
        with (logs / "a.1").open("ab") as more:
            more.write(lines(2))
        (logs / "a.2").write_bytes(lines(3))
        (logs / "new").symlink_to("a.2")
        (logs / "new").rename(logs / "a.log")
        await has(topic, *of(1, 2, 3))


async def test_from_the_end_on(tmp_path, logs):
    (logs / "a.log").write_bytes(lines(1, 2) + b"li")
    topic = Topic()
    config = tail_config(logs / "*.log", start="end")
    async with running(tmp_path, topic, config) as tail:
        await wait_until_async(lambda: _true(tail.flow.notes.get("files") == 1), 30, "the file")
        with (logs / "a.log").open("ab") as more:
            more.write(b"ne 3\n")
        (logs / "b.log").write_bytes(lines(4))
        await has_all(topic, 3, 4)
    (logs / "c.log").write_bytes(lines(5))
    async with running(tmp_path, topic, config):
        await has_all(topic, 3, 4, 5)


async def _true(value):
    return value


async def test_identical_files_are_all_read(tmp_path, logs):
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        (logs / "a.log").write_bytes(lines(1, 2))
        await has(topic, *of(1, 2))
        (logs / "b.log").write_bytes(lines(1, 2))
        await has(topic, *of(1, 2, 1, 2))


async def test_a_record_of_many_lines(tmp_path, logs):
    first = (
        b"21-Nov-2026 10:00:00.123 SEVERE [main] a.B.c failed\n\tjava.lang.X: y\n\t\tat a.b.C(D.java:1)\n\tCaused by: z"
    )
    second = b"21-Nov-2026 10:00:01.000 INFO [main] a.B.c first line\nsecond line"
    file = logs / "catalina.out"
    file.write_bytes(first + b"\n" + second + b"\n")
    topic = Topic()
    config = tail_config(file, multiline="catalina", quiet_s=3_600.0)
    passed_s = 0.0
    async with running(tmp_path, topic, config, clock=lambda: time.monotonic() + passed_s):
        await has(topic, first)
        passed_s = 3_600.0
        await has(topic, first, second)
    with file.open("ab") as more:
        more.write(first + b"\n")
    async with running(tmp_path, topic, tail_config(file, multiline="catalina")):
        await has(topic, first, second, first)


async def test_the_last_line_of_a_rotated_file_ends_with_the_file(tmp_path, logs):
    (logs / "a.log").write_bytes(lines(1) + b"line 2")
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log", rotated_s=1.0)) as tail:
        await has(topic, *of(1))
        (logs / "a.log").rename(logs / "a.log.1")
        await has(topic, *of(1, 2))
        await wait_until_async(lambda: _true(tail.flow.notes["files"] == 0), 30, "the file to be forgotten")
    assert json.loads((tmp_path / "tail" / "logs.json").read_text())["files"] == []


async def test_a_gigantic_line_comes_in_pieces(tmp_path, logs):
    line = os.urandom(300_000).replace(b"\n", b"x").replace(b"\r", b"y")
    (logs / "a.log").write_bytes(b"before\n" + line + b"\nafter\n")
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log"), max_event_bytes=100_000):
        await wait_until_async(lambda: _true(topic.bodies[-1:] == [b"after"]), 30, "the line behind")
    assert b"".join(topic.bodies[1:-1]) == line
    told = [(event.headers.get("piece"), event.headers.get("more")) for event in topic.events[1:-1]]
    assert told == [*((str(n), "true") for n in range(1, len(told))), (str(len(told)), None)]
    assert len(told) in (3, 4)  # a cut may be moved back, so as not to split a character


async def test_a_crash_repeats_nothing(tmp_path, logs):
    """Kafka has everything, and the position file nothing but the file's identity."""
    (logs / "a.log").write_bytes(lines(*range(10_000)))
    topic = Topic()
    tail = new_tail(tmp_path, topic, tail_config(logs / "*.log"))
    await tail.start()
    await wait_until_async(lambda: _true(topic.bodies), 30, "the first batch")
    await end_as_killed(tail)
    assert topic.bodies
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        await has(topic, *of(*range(10_000)))


async def test_kafka_fails_again_and_again(tmp_path, logs):
    topic = Topic(random.Random(5), fails=0.4)
    (logs / "a.log").write_bytes(lines(*range(30_000)))
    async with running(tmp_path, topic, tail_config(logs / "a.log")) as tail:
        await has(topic, *of(*range(30_000)))
        await wait_until_async(lambda: _true(tail.flow.sent == 30_000), 30, "the counters")
        assert tail.flow.received == tail.flow.accepted == 30_000
        assert tail.flow.last_error in ("away", "full")
        assert tail.flow.state == "running"


async def test_thousands_of_files_with_few_open(tmp_path, logs):
    for number in range(1_200):
        (logs / f"{number}.log").write_bytes(lines(number))
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log", max_open_files=16)) as tail:
        await has_all(topic, *range(1_200))
        assert tail.flow.notes["files"] == 1_200
        assert tail.flow.notes["open_files"] <= 16
        with (logs / "7.log").open("ab") as more:
            more.write(lines(1_200))
        await has_all(topic, *range(1_201))


async def test_flumes_positions_are_taken_over_once(tmp_path, logs):
    (logs / "a.log").write_bytes(lines(1, 2))
    (logs / "b.log").write_bytes(lines(3, 4))
    (logs / "c.log").write_bytes(lines(5))
    told = [
        {"inode": (logs / name).stat().st_ino, "pos": pos, "file": str(logs / name)}
        for name, pos in (("a.log", 7), ("b.log", 7), ("c.log", 7))
    ]
    positions = tmp_path / "taildir_position.json"
    positions.write_text(json.dumps(told))
    (logs / "b.log").rename(logs / "b.log.1")  # after Flume had stopped: its rest is still unread
    (logs / "b.log").write_bytes(lines(6))
    topic = Topic()
    config = tail_config(logs / "*.log", import_positions=positions)
    async with running(tmp_path, topic, config):
        await has_all(topic, 2, 4, 6)
    positions.write_text(json.dumps([{"inode": 1, "pos": 1, "file": str(logs / "a.log")}]))
    async with running(tmp_path, topic, config):
        with (logs / "a.log").open("ab") as more:
            more.write(lines(7))
        await has_all(topic, 2, 4, 6, 7)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"inode": 1}]', '[{"inode": "1", "pos": 1, "file": "/x"}]'])
async def test_positions_that_are_none_stop_the_start(tmp_path, logs, text):
    positions = tmp_path / "taildir_position.json"
    positions.write_text(text)
    tail = new_tail(tmp_path, Topic(), tail_config(logs / "*.log", import_positions=positions))
    with pytest.raises(CannotTail, match="is not a taildir position file"):
        await tail.start()


async def test_a_second_process_is_refused(tmp_path, logs):
    async with running(tmp_path, Topic(), tail_config(logs / "*.log")):
        with pytest.raises(CannotTail, match="another process"):
            await new_tail(tmp_path, Topic(), tail_config(logs / "*.log")).start()


async def test_damaged_positions_stop_the_start(tmp_path, logs):
    (tmp_path / "tail").mkdir()
    (tmp_path / "tail" / "logs.json").write_text('{"version": 1')
    with pytest.raises(CannotTail, match="is damaged"):
        await new_tail(tmp_path, Topic(), tail_config(logs / "*.log")).start()


async def test_a_hostile_name(tmp_path, logs):
    (logs / os.fsdecode(b"\x1b[2J\xff<b>\n.log")).write_bytes(lines(1))
    topic = Topic()
    async with running(tmp_path, topic, tail_config(logs / "*.log")):
        await has(topic, *of(1))
    assert topic.events[0].headers["file"] == f"{logs}/\\x1b[2J\ufffd<b>\\n.log"
