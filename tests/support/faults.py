"""Every fault by name: how a part of a deployment breaks, and how it comes back."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable

from tests.support.bed import Bed, fill
from tests.support.schedule import Fault
from tests.support.worker import Worker

Heal = Callable[[], None]
Injected = tuple[str, Heal]

SESSION_TIMEOUT_S = 10.0  # of the consumer groups
# Kafka's own max.poll.interval: what a consumer that waits for its destination is given before it is thrown out of its
# group. Sluice's is a day, so the outage is to be longer than what others would survive.
KAFKAS_MAX_POLL_INTERVAL_S = 300.0


def faults(long: bool = False) -> list[Fault[Bed]]:
    """All of them; `long` keeps HDFS away for longer than Kafka's max.poll.interval, else for longer than a session."""
    away_s = KAFKAS_MAX_POLL_INTERVAL_S + 10 if long else SESSION_TIMEOUT_S + 2
    return [
        Fault("worker killed", "worker", (0.0, 6.0), _killed),
        Fault("worker stopped by SIGTERM", "worker", (0.0, 4.0), _stopped),
        Fault("two workers killed at once", "worker", (0.5, 4.0), _two_killed),
        Fault("scaled in to one worker, and out again", "worker", (2.0, 8.0), _scaled),
        Fault("worker asleep past the session timeout", "worker", (SESSION_TIMEOUT_S + 2, 18.0), _asleep),
        Fault("state deleted, restart", "worker", (0.0, 1.0), _state_deleted),
        Fault("disk full in the data directory", "worker", (3.0, 8.0), _disk_full),
        Fault("broker killed", "kafka", (0.0, 5.0), _broker_killed),
        Fault("connections to Kafka cut, twice", "kafka", (0.2, 3.0), _kafka_cut),
        Fault("connections to Kafka refused", "kafka", (2.0, 8.0), _kafka_shut),
        Fault("connections to Kafka stalled", "kafka", (3.0, SESSION_TIMEOUT_S + 4), _kafka_stalled),
        Fault("connections to HDFS cut, twice", "hdfs", (0.2, 3.0), _hdfs_cut),
        Fault("connections to HDFS stalled", "hdfs", (3.0, 15.0), _hdfs_stalled),
        Fault("DataNode killed", "hdfs", (1.0, 6.0), _datanode_killed),
        Fault("NameNode killed", "hdfs", (1.0, 6.0), _namenode_killed),
        Fault("HDFS in safe mode", "hdfs", (3.0, 8.0), _safe_mode),
        Fault("HDFS away", "hdfs", (away_s, away_s + 5), _hdfs_away),
    ]


def _pick(bed: Bed, rng: random.Random) -> Worker:
    return rng.choice(bed.workers)


def _again(*workers: Worker) -> Heal:
    """Started, not waited for: other faults may hold that keep them from getting ready."""

    def start() -> None:
        for each in workers:
            each.start(ready=False)

    return start


def _names(*workers: Worker) -> str:
    return ", ".join(each.directory.name for each in workers)


def _killed(bed: Bed, rng: random.Random) -> Injected:
    worker = _pick(bed, rng)
    worker.kill()
    return _names(worker), _again(worker)


def _stopped(bed: Bed, rng: random.Random) -> Injected:
    worker = _pick(bed, rng)
    bed.stop(worker)
    return _names(worker), _again(worker)


def _two_killed(bed: Bed, rng: random.Random) -> Injected:
    workers = rng.sample(bed.workers, 2)
    for each in workers:
        each.kill()
    return _names(*workers), _again(*workers)


def _scaled(bed: Bed, rng: random.Random) -> Injected:
    workers = rng.sample(bed.workers, 2)
    for each in workers:
        bed.stop(each)
    return _names(*workers), _again(*workers)


def _asleep(bed: Bed, rng: random.Random) -> Injected:
    worker = _pick(bed, rng)
    worker.pause()
    return _names(worker), worker.cont


def _state_deleted(bed: Bed, rng: random.Random) -> Injected:
    worker = _pick(bed, rng)
    worker.kill()
    tables = bed.data_dir(worker) / "tables"
    if tables.exists():
        shutil.rmtree(tables)
    return _names(worker), _again(worker)


def _disk_full(bed: Bed, _rng: random.Random) -> Injected:
    filler = bed.small_disk / "filler"
    fill(filler)
    return _names(bed.workers[2]), filler.unlink


def _broker_killed(bed: Bed, _rng: random.Random) -> Injected:
    bed.kafka.service.kill()
    return "the only one", bed.kafka.service.start


def _kafka_cut(bed: Bed, _rng: random.Random) -> Injected:
    proxy = bed.services.kafka_proxy
    return f"{proxy.cut() // 2} connections", lambda: _and_done(proxy.cut())


def _kafka_shut(bed: Bed, _rng: random.Random) -> Injected:
    bed.services.kafka_proxy.shut()
    return "all", bed.services.kafka_proxy.reopen


def _kafka_stalled(bed: Bed, _rng: random.Random) -> Injected:
    bed.services.kafka_proxy.stall()
    return "both ways", bed.services.kafka_proxy.flow


def _hdfs_cut(bed: Bed, _rng: random.Random) -> Injected:
    proxy = bed.services.hdfs_proxy
    return f"{proxy.cut() // 2} connections", lambda: _and_done(proxy.cut())


def _hdfs_stalled(bed: Bed, _rng: random.Random) -> Injected:
    bed.services.hdfs_proxy.stall()
    return "both ways", bed.services.hdfs_proxy.flow


def _datanode_killed(bed: Bed, _rng: random.Random) -> Injected:
    bed.hdfs.service.kill_datanode()
    return "the only one", bed.hdfs.service.start_datanode


def _namenode_killed(bed: Bed, _rng: random.Random) -> Injected:
    bed.hdfs.service.kill_namenode()
    return "the only one", bed.hdfs.service.start_namenode


def _safe_mode(bed: Bed, _rng: random.Random) -> Injected:
    bed.hdfs.service.set_safe_mode(True)
    return "NameNode", lambda: bed.hdfs.service.set_safe_mode(False)


def _hdfs_away(bed: Bed, _rng: random.Random) -> Injected:
    bed.hdfs.service.kill()
    return "NameNode and DataNode", bed.hdfs.service.start


def _and_done(_cut: int) -> None:
    """A number that nobody needs."""
