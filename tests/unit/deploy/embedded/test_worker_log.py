"""What of a worker's log gets to the screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.embedded.worker_log import CalmLog

AT = "2026-11-21 07:02:53,063"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "worker.log"
    path.write_text("")
    return path


def append(log: Path, text: str) -> None:
    with log.open("a", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)


def test_lifecycle_is_shown_and_everything_else_is_left_to_the_file(log):
    append(
        log,
        "+ƒaµS† v0.15.3+--+\n| id | sluice |\n"
        f"{AT} INFO    streaming.web: [^--Web]: Starting...\n"
        f"{AT} INFO    app.heartbeat: [^---Heartbeat]: Starting...\n"
        f"{AT} INFO    streaming.exactly_once: Lane recovered raw-log[2]\n"
        f"{AT} INFO    sinks.history.writer: Committed raw-log[1] offsets 0 to 0\n"
        f"{AT} DEBUG   app.pipeline: something\n"
        f"{AT} INFO    sources.producer: Connected to Kafka topic=raw-log\n"
        f"{AT} INFO    app.pipeline: Ready: {{}}\n",
    )
    assert CalmLog(log).read() == ["07:02:53 Connected to Kafka topic=raw-log", "07:02:53 Ready: {}"]


def test_what_goes_wrong_is_shown_with_its_traceback_until_the_next_line(log):
    append(
        log,
        f"{AT} ERROR   streaming.lanes: It broke\nTraceback (most recent call last):\n  File x\n\nValueError: no\n"
        f"{AT} INFO    streaming.web: [^--Web]: Cleanup\nnot part of it\n"
        f"{AT} WARNING aiokafka: slow\n",
    )
    shown = CalmLog(log).read()
    assert [line.strip() for line in shown] == [
        "07:02:53 ERROR: It broke",
        "Traceback (most recent call last):",
        "File x",
        "ValueError: no",
        "07:02:53 WARNING: slow",
    ]


def test_only_what_comes_after_the_start_and_only_whole_lines(log):
    append(log, f"{AT} INFO    app.pipeline: of the last run\n")
    calm = CalmLog(log, log.stat().st_size)
    append(log, f"{AT} INFO    app.pipeline: half a")
    assert calm.read() == []
    append(log, f" line\n{AT} INFO    app.pi")
    assert calm.read() == ["07:02:53 half a line"]
    append(log, "peline: and another\n")
    assert calm.read() == ["07:02:53 and another"]


def test_a_burst_is_cut_and_told(log):
    clock = Clock()
    calm = CalmLog(log, clock=clock)
    append(log, "".join(f"{AT} ERROR   x: {i}\n" for i in range(40)))
    assert len(calm.read()) == 12
    append(log, f"{AT} ERROR   x: more\n")
    assert calm.read() == []
    clock.now += 5.0
    append(log, f"{AT} ERROR   x: later\n")
    assert calm.read() == ["... 29 more lines in worker.log", "07:02:53 ERROR: later"]


def test_a_logged_line_can_do_nothing_to_a_terminal(log):
    append(log, f"{AT} ERROR   x: \x1b[2J\x07\u202eevil\ud800 {'y' * 1000}\n\x1b]0;title\x07\n")
    error, trace = CalmLog(log).read()
    assert error.isprintable()
    assert error.startswith("07:02:53 ERROR: \\x1b[2J\\x07\\u202eevil")
    assert len(error) < 400
    assert trace.strip() == "\\x1b]0;title\\x07"


def test_a_log_that_grows_faster_than_it_is_read_is_skipped_to_its_end(log):
    calm = CalmLog(log)
    append(log, f"{AT} INFO    app.x: first\n" + "noise\n" * 100_000 + f"{AT} INFO    app.x: last\n")
    assert calm.read() == ["07:02:53 last"]


def test_a_line_without_end_costs_bounded_memory(log):
    calm = CalmLog(log)
    for _ in range(8):
        append(log, "x" * 200_000)
        assert calm.read() == []
    assert len(calm._rest) <= 256 * 1024


def test_no_log_yet_is_nothing_to_show(tmp_path):
    assert CalmLog(tmp_path / "none").read() == []
