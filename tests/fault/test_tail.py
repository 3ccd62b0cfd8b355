"""Tomcat's files are rotated while the worker that tails them is killed: each line once, in raw-log and in HDFS."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hdfs import LiveHdfs
from tests.support.kafka import LiveKafka
from tests.support.load import access_line
from tests.support.oracle import Oracle, hdfs_records
from tests.support.polling import wait_until
from tests.support.rotation import Writer
from tests.support.worker import Worker, Workers

pytestmark = [pytest.mark.kafka, pytest.mark.hdfs, pytest.mark.slow]

ROUTES = """
[access_log]
patterns = ["common"]

[[source]]
name = "access"
kind = "tail"
paths = ["{logs}/localhost_access_log.*.txt"]
headers = {{ type = "access_log", service = "shop" }}

[[source]]
name = "catalina"
kind = "tail"
paths = ["{logs}/catalina.out"]
headers = {{ type = "catalina" }}
multiline = "catalina"
quiet_s = 1.0

[[source]]
name = "app"
kind = "tail"
paths = ["{logs}/app.log"]
headers = {{ type = "app" }}
"""


class Tomcat(threading.Thread):
    """Writes an access log by date, catalina.out rotated by copytruncate, and app.log rotated by renaming."""

    def __init__(self, logs: Path, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.access: list[str] = []
        self.catalina: list[str] = []
        self.app: list[str] = []
        self.failed: BaseException | None = None
        self._logs = logs
        self._rng = rng
        self._days = self._rotations = 0
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._files = {
            "access": Writer(self._dated()),
            "catalina": Writer(logs / "catalina.out"),
            "app": Writer(logs / "app.log"),
        }

    def stop(self) -> None:
        self._ended.set()
        self.join(30)
        assert not self.is_alive()
        if self.failed is not None:
            raise self.failed

    def run(self) -> None:
        try:
            while not self._ended.is_set():
                with self._writing:
                    self._write()
                if self._rng.random() < 0.005:
                    self._roll_by_date()
                time.sleep(0.02)
        except BaseException as error:
            self.failed = error

    def rotate(self) -> None:
        """Rename app.log, whose writer goes on in the renamed file for a moment, and copy and truncate catalina.out.

        Neither of the rotated files fits a glob: they are found only if the originals were seen before.
        """
        with self._writing:
            self._rotations += 1
            app = self._files["app"]
            app.rename(self._logs / f"app.log.{self._rotations}", reopen=False)
            self._line("app", self.app)
            app.reopen()
            self._files["catalina"].copy_and_truncate(self._logs / f"catalina.out.{self._rotations}")

    def _write(self) -> None:
        for _ in range(self._rng.randrange(20)):
            id = f"a{len(self.access)}"
            self.access.append(id)
            line = access_line(id, self._rng, time.time()).encode() + b"\n"
            cut = self._rng.randrange(len(line))
            self._files["access"].write(line[:cut])
            self._files["access"].write(line[cut:])
        self._line("app", self.app)
        id = f"c{len(self.catalina)}"
        self.catalina.append(id)
        self._files["catalina"].write(
            b"21-Nov-2026 10:00:00.000 SEVERE [main] a.B.c failed id=%s\n\tjava.lang.X: y\n\tCaused by: z\n"
            % id.encode()
        )

    def _line(self, name: str, ids: list[str]) -> None:
        ids.append(f"{name}{len(ids)}")
        self._files[name].write(b"x id=%s\n" % ids[-1].encode())

    def _roll_by_date(self) -> None:
        self._files["access"].close()
        self._days += 1
        self._files["access"] = Writer(self._dated())

    def _dated(self) -> Path:
        return self._logs / f"localhost_access_log.2026-11-{self._days:04}.txt"


def test_each_line_once_though_workers_are_killed(
    fresh_kafka: LiveKafka, hdfs: LiveHdfs, worker: Workers, tmp_path: Path, fault_schedule: Iterator[random.Random]
) -> None:
    for number, rng in enumerate(fault_schedule):
        fresh_kafka.delete_topics(*fresh_kafka.topics())
        directory = tmp_path / str(number)
        (directory / "logs").mkdir(parents=True)
        (directory / "routes.toml").write_text(ROUTES.format(logs=directory / "logs"))
        _play(fresh_kafka, hdfs, worker, directory, rng)


def _play(kafka: LiveKafka, hdfs: LiveHdfs, worker: Workers, directory: Path, rng: random.Random) -> None:
    root = hdfs.new_path()
    started = worker(
        broker=kafka.url,
        roles="ingest,history",
        settings={
            "SLUICE_HISTORY": hdfs.history_url(root),
            "SLUICE_HISTORY_ROLL_INTERVAL_S": 2,
            "SLUICE_ROUTES": directory / "routes.toml",
        },
    )
    tomcat = Tomcat(directory / "logs", rng)
    tomcat.start()
    for while_down in rng.sample([False, False, True], 3):
        wait_until(lambda: _are_sending(started), 60, "the sources to send")
        time.sleep(rng.uniform(0.2, 2.0))  # the moment is chance
        if not while_down:
            tomcat.rotate()
            time.sleep(rng.uniform(0.0, 0.3))
        started.kill()
        if while_down:
            tomcat.rotate()
        started.start()
    tomcat.stop()
    expected = {"access_log": tomcat.access, "catalina": tomcat.catalina, "app": tomcat.app}
    total = sum(map(len, expected.values()))
    wait_until(lambda: sum(kafka.end_offsets("raw-log").values()) >= total, 90, f"{total} records in raw-log")
    time.sleep(2)  # for what must not come any more
    raw = kafka.consume("raw-log")
    for kind, ids in expected.items():
        found = [_id(record.value) for record in raw if dict(record.headers)["type"] == kind.encode()]
        times = Counter(found)
        assert not [id for id in ids if not times[id]], f"{kind}: lines are missing"
        assert not {id: n for id, n in times.items() if n > 1}, f"{kind}: lines are there more than once"
        assert set(times) == set(ids)
        if kind == "catalina":
            assert found == ids, "copytruncate changed the order"
    wait_until(lambda: kafka.lag("sluice-history", "raw-log") == 0, 60, "the history", retry_on=Exception)
    started.stop()
    Oracle(kafka).history_has_each_record_once(hdfs_records(hdfs, root))


def _id(body: bytes) -> str:
    return body.partition(b"id=")[2].split()[0].decode()


def _sent(worker: Worker) -> list[float]:
    """What each of the sources has sent since this process started: /api/flows adds up dead workers, too."""
    text = worker.get("/metrics").text
    counts = re.findall(
        r'^sluice_flow_sent_total\{[^}]*flow="(?:access|catalina|app)"[^}]*\} (\S+)$', text, re.MULTILINE
    )
    return [float(count) for count in counts]


def _are_sending(worker: Worker) -> bool:
    sent = _sent(worker)
    return len(sent) == 3 and all(sent)
