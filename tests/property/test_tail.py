"""Whatever happens to a log's files, and to the source and Kafka meanwhile: each line once, in order."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sources.tail.source import Tail
from tests.support.polling import wait_until_async
from tests.support.rotation import Topic, Writer, end_as_killed, new_tail, tail_config

MAX_FILES = 6


class TailedLog(RuleBasedStateMachine):
    """One log, `a.log`, whose writer, rotation, source and Kafka do as they like. Each line names the stream it is of:
    what was written between two rotations.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="tail-"))
        self.logs = self.directory / "logs"
        self.logs.mkdir()
        self.loop = asyncio.new_event_loop()
        self.tail: Tail | None = None
        self.stream = self.written = self.rotations = self.unseen_rotations = 0
        self.expected: list[bytes] = []
        self.partial = b""
        self.rotated: list[Path] = []

    @initialize(seed=st.integers(0, 1 << 30), fails=st.sampled_from([0.0, 0.2]), matching=st.booleans())
    def begin(self, seed, fails, matching):
        self.topic = Topic(random.Random(seed), fails)
        self.matching = matching
        self.config = tail_config(self.logs / ("a.log*" if matching else "a.log"))
        self.writer = Writer(self.logs / "a.log")
        self.start()

    @rule(count=st.integers(1, 5))
    def write(self, count):
        for _ in range(count):
            line = self.partial or self.new_line()
            start = len(self.partial) and 5
            self.partial = b""
            self.writer.write(line[start:] + b"\n")
            self.expected.append(line)

    @rule()
    def write_a_part(self):
        if not self.partial:
            self.partial = self.new_line()
            self.writer.write(self.partial[:5])

    @rule()
    def rename(self):
        if self.may_rotate():
            self.writer.rename(self.rotated_path())
            self.stream += 1

    @rule()
    def rename_and_write_on(self):
        if self.may_rotate():
            self.writer.rename(self.rotated_path(), reopen=False)
            self.write(2)
            self.writer.reopen()
            self.stream += 1

    @rule()
    def copy_and_truncate(self):
        if self.may_rotate():
            self.writer.copy_and_truncate(self.rotated_path())
            self.stream += 1

    @rule()
    def delete_and_create(self):
        """What nobody has read before it is deleted is nobody's to read."""
        if self.tail is not None:
            self.end_line()
            self.settle()
            self.writer.path.unlink()
            self.writer.reopen()
            self.stream += 1

    @rule()
    def truncate(self):
        if self.tail is not None:
            self.end_line()
            self.settle()
            self.writer.path.write_bytes(b"")
            self.stream += 1

    @rule()
    def stop(self):
        if self.tail is not None:
            self.loop.run_until_complete(self.tail.stop())
            self.tail = None

    @rule()
    def crash(self):
        if self.tail is not None:
            self.loop.run_until_complete(end_as_killed(self.tail))
            self.tail = None

    @rule()
    def start(self):
        if self.tail is None:
            self.tail = new_tail(self.directory, self.topic, self.config)
            self.loop.run_until_complete(self.tail.start())

    @rule(seconds=st.sampled_from([0.0, 0.02, 0.12]))
    def let_it_work(self, seconds):
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @rule()
    def settle(self):
        """All complete lines arrive, each once, those of a stream in order."""
        self.start()

        async def arrived() -> bool:
            return len(self.topic.events) >= len(self.expected)

        try:
            self.loop.run_until_complete(wait_until_async(arrived, 20, "all lines"))
        finally:
            assert sorted(self.topic.bodies) == sorted(self.expected)
        streams = defaultdict(list)
        for body in self.topic.bodies:
            stream, number = body.split()[1:]
            streams[stream].append(int(number))
        assert all(numbers == sorted(numbers) for numbers in streams.values())
        self.unseen_rotations = 0

    def teardown(self):
        if hasattr(self, "writer"):
            self.settle()
            self.stop()
            self.writer.close()
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.directory)

    def new_line(self) -> bytes:
        self.written += 1
        return b"line. %d %d" % (self.stream, self.written)

    def end_line(self) -> None:
        if self.partial:
            self.write(1)

    def may_rotate(self) -> bool:
        """A file that got another name before anybody saw it under the glob's is not found: no more than one is."""
        if self.rotations >= MAX_FILES:
            return False
        self.end_line()
        if not self.matching:
            self.write(1)
            self.settle()
            self.write(1)
        self.rotations += 1
        return True

    def rotated_path(self) -> Path:
        self.rotated.append(self.logs / f"a.log.{self.rotations}")
        return self.rotated[-1]


TestTailedLog = TailedLog.TestCase
TestTailedLog.settings = settings(
    max_examples=8,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
