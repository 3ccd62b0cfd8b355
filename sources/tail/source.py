"""The tail source: scans, reads, sends and saves until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from config.tail_source import CATALINA as CATALINA_BY_NAME
from config.tail_source import TailSource
from sources.base import Publish
from sources.tail.delivery import Delivery
from sources.tail.flume import flume_entries, matches_glob
from sources.tail.identity import fingerprint
from sources.tail.positions import PositionFile, Saved
from sources.tail.reader import Batch, Reader, Reading, shown
from sources.tail.recall import Recall, RecallFailed
from sources.tail.records import CATALINA, Records
from sources.tail.watch import TailedFile, Watch
from telemetry.flow import Flow

log = logging.getLogger(__name__)

SAVE_S = 1.0
STOP_S = 4.0
AT_ONCE = 4  # files that are read at the same time, those last written to come last
MAX_BATCHES = 32  # of one file, before others get their turn
SHORTEST_SCAN_S = 0.1
LONGEST_SCAN_S = 1.0
IDLE_S = 10.0
RETRY_S = 1.0  # after an error of the file system
SCAN_SHARE = 0.05  # of a core, at most, for looking whether thousands of files have grown
LEAST_EVENT_BYTES = 1_024


class Tail:
    """Reads the files of one `[[source]]` table.

    Unit of parallelism: a file; AT_ONCE of them are read at the same time, and while Kafka acknowledges a batch of a
    file, its next one is read. Guarantee: each line once, in its file's order, from the first line to the last, while
    a file is renamed, truncated or deleted, and over restarts; with a `recall` also after a crash, else the lines of
    the last second before it are sent twice. What Kafka does not take stays in the files. Memory: a few batches.

    What survives a crash: the position file, `<data_dir>/tail/<name>.json`. It has a file's identity before the first
    line of it is sent, and a position only after Kafka has all that is before it.
    """

    def __init__(
        self,
        config: TailSource,
        publish: Publish,
        flow: Flow,
        *,
        data_dir: Path,
        hostname: str,
        max_event_bytes: int,
        recall: Recall | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.flow = flow
        self._config = config
        self._clock = clock
        self._recall = recall
        start = None
        if config.multiline is not None:
            pattern = CATALINA if config.multiline == CATALINA_BY_NAME else config.multiline.encode()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                start = re.compile(pattern)
        headers = {"host": hostname, **config.common.headers}
        self._reader = Reader(Records(max_event_bytes, start), headers, config.common.override)
        self._delivery = Delivery(publish, flow, headers["host"], recall)
        self._positions = PositionFile(data_dir / "tail", config.common.name)
        self._globs = tuple(os.path.abspath(path) for path in config.paths)
        self._watch = Watch(
            self._globs,
            rotated_s=config.rotated_s,
            max_open=config.max_open_files,
            complain=self._complain,
            clock=clock,
        )
        self._saved = Saved()
        self._complaints: dict[str, str] = {}
        self._pumps: dict[TailedFile, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._wake = asyncio.Event()
        self._saving = asyncio.Lock()
        self._dirty = True
        self._may_send = False
        self._stopping = False
        self._resumed = False

    async def start(self) -> None:
        """Lock and read the positions, then work in the background. Raises: CannotTail."""
        self._saved = await asyncio.to_thread(self._positions.open)
        try:
            if self._config.import_positions is not None and not self._saved.imported:
                known = {entry.inode for entry in self._saved.entries}
                told = await asyncio.to_thread(flume_entries, self._config.import_positions, self._globs)
                self._saved.entries += [entry for entry in told if entry.inode not in known]
                self._saved.imported = True
        except BaseException:
            self._positions.close()
            raise
        self._tasks = [asyncio.create_task(self._run(), name=f"tail {self.flow.name}")]

    async def stop(self) -> None:
        """Read nothing new, wait up to STOP_S for what is on its way, save, close."""
        if self._stopping or not self._tasks:
            return
        self._stopping = True
        self._wake.set()
        pumps = list(self._pumps.values())
        if pumps:
            await asyncio.wait(pumps, timeout=STOP_S)
        clean = not self._pumps and (self._may_send or self._saved.clean)
        for task in (*self._tasks, *self._pumps.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._pumps.values(), return_exceptions=True)
        if self._resumed:
            await self._save(clean=clean)
        self._watch.close()
        self._positions.close()
        if self._recall is not None:
            await self._recall.close()
        self.flow.state = "stopped"

    # -- the main loop

    async def _run(self) -> None:
        try:
            first = not self._saved.globs
            await self._watch.resume(self._saved.entries)
            self._resumed = True
            self._tasks.append(asyncio.create_task(self._get_ready(), name=f"tail {self.flow.name}: recall"))
            self._tasks.append(asyncio.create_task(self._keep_saved(), name=f"tail {self.flow.name}: positions"))
            known_globs = set(self._saved.globs)
            while not self._stopping:
                began_s = self._clock()
                await self._watch.scan(
                    at_end=lambda path: (
                        self._config.start == "end" and not any(matches_glob(path, pattern) for pattern in known_globs)
                    )
                )
                known_globs.update(self._globs)
                if first or any(not file.saved for file in self._watch.files.values()):
                    # Under which id a content is sent must be known after a crash; so it is saved first.
                    first = False
                    await self._save()
                await self._read_until(began_s + self._interval_s(self._clock() - began_s))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("The source has failed source=%s", self.flow.name)
            self.flow.state = "failed"
            self.flow.error(repr(error))

    def _interval_s(self, took_s: float) -> float:
        """How long to wait for the next scan: less often for thousands of files, and for files that do not grow."""
        idle = not self._pumps and all(self._watch.quiet_s(file) > IDLE_S for file in self._watch.files.values())
        return max(LONGEST_SCAN_S / 2 if idle else SHORTEST_SCAN_S, min(LONGEST_SCAN_S, took_s / SCAN_SHARE))

    async def _read_until(self, at_s: float) -> None:
        """Read files that have something to be read; each that is done makes room for the next."""
        while not self._stopping:
            self._wake.clear()
            self._pump()
            self._tell()
            try:
                await asyncio.wait_for(self._wake.wait(), max(0.0, at_s - self._clock()))
            except asyncio.TimeoutError:
                return

    async def _get_ready(self) -> None:
        """After a crash, find out what Kafka has already; then let the files be read."""
        if not self._saved.clean and self._recall is not None:
            self.flow.state = "recovering"
            files = {file.place.id: file for file in self._watch.files.values() if file.saved}
            reached = await self._delivery.recalled(list(files), self._saved.ends)
            for id, at in reached.items():
                await self._advance(files[id], at.position, at.number)
        attempt = 0
        while True:
            try:
                await self._delivery.refresh()
                break
            except RecallFailed as error:
                self._delivery.failed(error)
            await asyncio.sleep(min(2.0, 0.1 * 2**attempt))
            attempt = min(attempt + 1, 6)
        self._saved.ends = {}
        self._may_send = True
        self.flow.state = "running"
        await self._save()
        self._wake.set()

    async def _advance(self, file: TailedFile, position: int, number: int) -> None:
        """Go on behind what Kafka is known to have."""
        fd = await self._watch.open(file)
        if fd is None or (position, number) <= (file.place.position, file.place.number) or position > file.size:
            return
        known = await asyncio.to_thread(fingerprint, fd, position)
        file.place = file.place._replace(position=position, number=number, fingerprint=known)
        self._dirty = True

    async def _keep_saved(self) -> None:
        while True:
            await asyncio.sleep(SAVE_S)
            if not self._dirty:
                continue
            if self._may_send:
                try:
                    await self._delivery.refresh()
                except RecallFailed as error:
                    self.flow.error(str(error))
            await self._save()

    async def _save(self, *, clean: bool = False) -> None:
        """Save the positions as they are now; an error is noted, and the next second tries again."""
        async with self._saving:
            self._dirty = False
            files = list(self._watch.files.values())
            self._saved.entries = [file.entry() for file in files]
            self._saved.globs = list(self._globs)
            if self._may_send:
                self._saved.clean = clean
                self._saved.ends = self._delivery.unsaved_since()
            try:
                await asyncio.to_thread(self._positions.save, self._saved)
            except OSError as error:
                self._dirty = True
                self._complain(str(self._positions.path), error)
            for file in files:
                file.saved = True

    # -- reading

    def _pump(self) -> None:
        """Read files that have something to be read, those written to longest ago first."""
        if not self._may_send or self._stopping:
            return
        for file in list(self._watch.files.values()):
            if len(self._pumps) >= AT_ONCE:
                return
            if file not in self._pumps and file.saved and file.may_be_read and self._has_work(file):
                self._pumps[file] = asyncio.create_task(self._read_file(file), name=f"tail {file.place.path}")

    def _has_work(self, file: TailedFile) -> bool:
        if file.retry_at_s > self._clock():
            return False
        return file.size != file.read_size or self._is_quiet(file) or self._watch.is_over(file)

    def _is_quiet(self, file: TailedFile) -> bool:
        return file.waiting and self._watch.quiet_s(file) >= self._config.quiet_s

    async def _read_file(self, file: TailedFile) -> None:
        file.busy = True
        try:
            over = self._watch.is_over(file)
            if await self._read_on(file, over) and over:
                self._watch.forget(file)
                self._dirty = True
        except OSError as error:
            self._complain(file.place.path, error)
            file.retry_at_s = self._clock() + RETRY_S
        except Exception as error:
            log.exception("A file can't be read, trying again source=%s path=%s", self.flow.name, file.place.path)
            self.flow.error(repr(error))
            file.retry_at_s = self._clock() + 10 * RETRY_S
        finally:
            file.busy = False
            self._watch.handles.release(file)
            self._pumps.pop(file, None)
            self._watch.last_in_turn(file)
            self._wake.set()

    async def _read_on(self, file: TailedFile, over: bool) -> bool:
        """Read and send what there is; whether the end was reached. Batches are sent one after the other."""
        quiet, size = self._is_quiet(file), file.size
        ahead: Reading | None = None
        for _ in range(MAX_BATCHES):
            reading = ahead or await self._read(file, None, size, quiet, over)
            if reading is None:
                file.retry_at_s = self._clock() + SHORTEST_SCAN_S
                return False
            if reading.batch is None:
                file.read_size, file.waiting = reading.size, reading.waiting
                if not reading.waiting and file.read_size == file.size:
                    file.unread_since_s = None
                return file.read_size == size
            batch = reading.batch
            sending = asyncio.create_task(self._delivery.send(batch.after.id, batch))
            try:
                ahead = None if reading.at_end or self._stopping else await self._read(file, batch, size, quiet, over)
                n_sent = await sending
            except BaseException:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                raise
            self._dirty = True
            if n_sent < len(batch.events):
                await self._cut_shorter(file, batch, n_sent)
                return False
            file.place = batch.after._replace(path=file.place.path)
            if self._stopping:
                return False
        return False

    async def _read(self, file: TailedFile, after: Batch | None, size: int, quiet: bool, over: bool) -> Reading | None:
        """What follows a batch, or the file's place; None where that can't be told now."""
        fd = await self._watch.open(file)
        if fd is None:
            return None
        place = after.after if after is not None else file.place
        reading = await asyncio.to_thread(self._reader.read, fd, place, size, quiet=quiet, finished=over)
        if not reading.changed:
            return reading
        if after is None:
            await self._watch.changed(file, fd)
            self._dirty = True
        return None

    async def _cut_shorter(self, file: TailedFile, batch: Batch, n_sent: int) -> None:
        """Go on behind the events that were sent, and cut what is too large for the brokers in smaller pieces."""
        if n_sent:
            await self._advance(file, *batch.ends[n_sent - 1])
        records = self._reader.records
        if records.max_bytes > LEAST_EVENT_BYTES:
            records.max_bytes = max(LEAST_EVENT_BYTES, records.max_bytes // 2)
            log.warning("Cutting records at bytes=%d source=%s", records.max_bytes, self.flow.name)
        else:
            # Not even so much is taken: what the brokers never will must not hold up the rest.
            self.flow.received += 1
            self.flow.reject("event_too_large")
            await self._advance(file, *batch.ends[n_sent])

    # -- what is told

    def _tell(self) -> None:
        files = self._watch.files.values()
        unread = [file for file in files if file.unread_since_s is not None]
        oldest = min((file.unread_since_s for file in unread if file.unread_since_s is not None), default=None)
        self.flow.notes.update(
            files=len(files),
            open_files=len(self._watch.handles),
            bytes_behind=sum(max(0, file.size - file.place.position) for file in files),
            oldest_unread_s=round(self._clock() - oldest, 1) if oldest is not None else 0.0,
            rotated_files=sum(file.rotated_at_s is not None for file in files),
        )

    def _complain(self, path: str, error: OSError) -> None:
        """Tell of a path that can't be used: once for each kind of trouble."""
        why = error.strerror or type(error).__name__
        text = f"{shown(path)}: {why}"
        self.flow.error(text)
        if self._complaints.get(path) != why and len(self._complaints) < 10_000:
            self._complaints[path] = why
            log.warning("Can't be used, trying again source=%s path=%s", self.flow.name, text)
