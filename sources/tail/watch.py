"""The files of one source, followed: renamed, replaced, truncated, deleted, copied and cut, each is still itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sources.tail.flume import new_id
from sources.tail.handles import Handles
from sources.tail.identity import PREFIX_BYTES, UNKNOWN, fingerprint, read_at
from sources.tail.positions import Entry
from sources.tail.reader import Place, beginning, shown
from sources.tail.scan import Inode, Seen, look, neighbours, open_file, scan

log = logging.getLogger(__name__)

T = TypeVar("T")

# A new file that begins as one that is watched may be its copy, about to be made the rotated file by a truncation of
# the original: it is not read before it has kept its size for so long.
COPY_SETTLES_S = 3.0
# A deleted file takes its room on the disk as long as it is open.
DELETED_S = 60.0
TOLD_FILES = 100  # each is told in the log when it is found, unless there are thousands


@dataclass(eq=False, slots=True)
class TailedFile:
    """One content: what was written to an inode from its creation, or from a truncation, to the next.

    `place` is up to where Kafka has it. States: watched while a glob matches it; rotated (`rotated_at_s`) when none
    does any more; gone when its content can't be had any more. Owned by the event loop.
    """

    inode: Inode
    place: Place
    size: int
    grown_at_s: float
    found_in_scan: int
    fd: int | None = None
    head: bytes = b""  # its first bytes, to know a copy by
    read_size: int = -1  # up to where it was read, with nothing left that is complete
    waiting: bool = False  # lines are left whose record may go on
    unread_since_s: float | None = None
    rotated_at_s: float | None = None
    finished: bool = False
    gone: bool = False
    busy: bool = False
    saved: bool = False
    modified_at_s: float = 0.0  # by the file's clock; grown_at_s is by ours
    retry_at_s: float = 0.0  # not to be read before
    predecessor: TailedFile | None = None
    old_fds: list[int] = field(default_factory=list)  # to be closed when nobody reads

    @property
    def drained(self) -> bool:
        """Whether all that is complete is in Kafka, for now."""
        return not self.busy and (self.gone or (not self.waiting and self.read_size == self.size))

    @property
    def may_be_read(self) -> bool:
        """Whether what was at its path before has been read."""
        if self.predecessor is not None and self.predecessor.drained:
            self.predecessor = None
        return self.predecessor is None

    def entry(self) -> Entry:
        """For the position file."""
        place = self.place
        after = self.predecessor.place.id if self.predecessor is not None else ""
        return Entry(place.id, place.path, *self.inode, place.position, place.number, place.fingerprint, after)


class Watch:
    """All files of one source. `scan` looks at the disk once; what changed shows in `files`.

    Safe against files that change meanwhile: whatever was seen of a name is checked again on the open file.
    """

    def __init__(
        self,
        globs: Sequence[str],
        *,
        rotated_s: float,
        max_open: int,
        complain: Callable[[str, OSError], None],
        clock: Callable[[], float],
    ) -> None:
        self.files: dict[Inode, TailedFile] = {}
        self.handles = Handles(max_open)
        self._globs = globs
        self._rotated_s = rotated_s
        self._complain = complain
        self._clock = clock
        self._scans = 0
        self._left: dict[str, TailedFile] = {}  # who was at a path when it was saved, and is elsewhere now
        self._held: dict[Inode, tuple[int, float]] = {}  # possible copies: size, and since when it has it
        self._changing = asyncio.Lock()  # one at a time says what a file is

    async def resume(self, entries: Sequence[Entry]) -> None:
        """Find the files that the positions are of, under whatever name; those that are not found are forgotten."""
        matching = {seen.inode: seen for seen in await _blocking(scan, self._globs, self._complain)}
        beside: dict[str, list[Seen]] = {}
        for entry in entries:
            candidates = [await _blocking(look, entry.path, self._complain)]
            candidates += [seen for seen in matching.values() if seen.inode[1] == entry.inode]
            if not await self._resume(entry, (seen for seen in candidates if seen is not None), copies=False):
                directory = os.path.dirname(entry.path)
                if directory not in beside:
                    beside[directory] = await _blocking(lambda path: list(neighbours(path, self._complain)), entry.path)
                found = await self._resume(entry, beside[directory], copies=False) or (
                    entry.fingerprint != UNKNOWN
                    and candidates[0] is not None
                    and candidates[0].inode[1] == entry.inode
                    and await self._resume(entry, beside[directory], copies=True)
                )
                if not found:
                    log.warning(
                        "A file is gone that was read before path=%s bytes=%d", shown(entry.path), entry.position
                    )
        found_ids = {file.place.id: file for file in self.files.values()}
        for entry in entries:
            if entry.id in found_ids and entry.after in found_ids:
                found_ids[entry.id].predecessor = found_ids[entry.after]

    async def _resume(self, entry: Entry, candidates: Iterable[Seen], *, copies: bool) -> bool:
        """Take the first candidate that is the file of the entry; with `copies`, that has its content."""
        for seen in sorted(candidates, key=lambda seen: (seen.inode[0] != entry.device, seen.path != entry.path)):
            if seen.inode in self.files or (copies == (seen.inode[1] == entry.inode)):
                continue
            fd = await self._open(seen)
            if fd is None:
                continue
            if not await _blocking(_is_of, fd, entry, seen.path):
                os.close(fd)
                continue
            known = await _blocking(fingerprint, fd, entry.position)
            place = Place(entry.id, seen.path, entry.position, entry.number, known)
            file = self._add(TailedFile(seen.inode, place, seen.size, self._clock(), self._scans, fd))
            file.head = await _blocking(read_at, fd, 0, PREFIX_BYTES)
            file.saved = True
            if seen.path != entry.path:
                self._left[entry.path] = file
            return True
        return False

    async def scan(self, *, at_end: Callable[[str], bool]) -> None:
        """Look at the disk once. A file not known before is taken from its end where `at_end` says so of its path."""
        async with self._changing:
            await self._scan(at_end)

    async def _scan(self, at_end: Callable[[str], bool]) -> None:
        self._scans += 1
        matched: dict[Inode, Seen] = {}
        for seen in await _blocking(scan, self._globs, self._complain):
            known = self.files.get(seen.inode)
            if seen.inode not in matched or (known is not None and known.place.path == seen.path):
                matched[seen.inode] = seen
        at_path = self._left | {file.place.path: file for file in self.files.values() if file.rotated_at_s is None}
        self._left = {}
        for inode, seen in matched.items():
            file = self.files.get(inode)
            if file is None:
                await self._discover(seen, at_path.get(seen.path), at_end(seen.path))
            else:
                file.rotated_at_s = None
                rewritten = seen.size == file.size and seen.modified_at_s != file.modified_at_s
                file.modified_at_s = seen.modified_at_s
                if seen.size < file.size or rewritten:
                    await self._changed(file, file.fd)
                else:
                    self._grew(file, seen.size)
                    file.place = file.place._replace(path=seen.path)
        self._held = {inode: held for inode, held in self._held.items() if inode in matched}
        for inode in self.files.keys() - matched.keys():
            await self._look_after_rotated(self.files[inode])

    async def changed(self, file: TailedFile, fd: int | None) -> None:
        """The file, read through `fd`, is not what it was: truncated, or another with its inode.

        Where its content was copied before (copytruncate), the rest is read from the copy. The inode is new content.
        """
        async with self._changing:
            await self._changed(file, fd)

    async def _changed(self, file: TailedFile, fd: int | None) -> None:
        if file.gone or file.finished or fd != file.fd or self.files.get(file.inode) is not file:
            return  # it has been noticed already
        fd = await self.open(file)
        if fd is None or await _blocking(file.place.fingerprint.fits, fd, file.place.position):
            if fd is not None:
                self._grew(file, os.fstat(fd).st_size)
            return
        inode, path, size = file.inode, file.place.path, os.fstat(fd).st_size
        log.info("A file was truncated or replaced path=%s was=%d is=%d", shown(path), file.size, size)
        copy = await self._find_copy(file)
        self.files.pop(inode)
        self.handles.forget(file)
        place = await _blocking(beginning, new_id(), path, fd)
        successor = self._add(TailedFile(inode, place, size, self._clock(), self._scans, fd))
        successor.head = await _blocking(read_at, fd, 0, PREFIX_BYTES)
        successor.predecessor = file
        file.fd = None
        if copy is None:
            lost = file.size - file.place.position
            if lost > 0 and not file.busy:
                log.warning("Truncated before it was read to its end path=%s bytes=%d", shown(path), lost)
            file.gone = True
            return
        seen, copy_fd = copy
        self._held.pop(seen.inode, None)
        file.inode, file.fd, file.size = seen.inode, copy_fd, seen.size
        file.place = file.place._replace(path=seen.path)
        file.read_size = -1
        self._add(file)

    async def open(self, file: TailedFile) -> int | None:
        """The descriptor of a file, opened again if need be; None where no name leads to it any more."""
        if file.fd is None and not file.gone:
            candidates: Iterable[Seen] = [Seen(file.place.path, file.inode, 0, 0)]
            file.fd = await self._open_any(file, candidates)
            if file.fd is None:
                beside = await _blocking(lambda path: list(neighbours(path, self._complain)), file.place.path)
                file.fd = await self._open_any(file, (seen for seen in beside if seen.inode == file.inode))
        self.handles.use(file)
        return file.fd

    def forget(self, file: TailedFile) -> None:
        """Let go of a file for good."""
        if self.files.get(file.inode) is file:
            del self.files[file.inode]
        file.gone = True
        self.handles.close(file)

    def last_in_turn(self, file: TailedFile) -> None:
        """Others are to be read before this file is again."""
        if self.files.get(file.inode) is file:
            self.files[file.inode] = self.files.pop(file.inode)

    def close(self) -> None:
        """Close every file."""
        for file in self.files.values():
            self.handles.close(file)

    def quiet_s(self, file: TailedFile) -> float:
        """How long a file has not grown."""
        return self._clock() - file.grown_at_s

    def is_over(self, file: TailedFile) -> bool:
        """Whether a rotated file has been watched for long enough after its last growth."""
        if file.rotated_at_s is None or file.size != file.read_size:
            return False
        deleted = file.fd is not None and os.fstat(file.fd).st_nlink == 0
        since = max(file.rotated_at_s, file.grown_at_s)
        return self._clock() - since >= (min(DELETED_S, self._rotated_s) if deleted else self._rotated_s)

    # -- what a scan does

    def _add(self, file: TailedFile) -> TailedFile:
        file.unread_since_s = self._clock() if file.place.position < file.size else None
        self.files[file.inode] = file
        self.handles.use(file)
        return file

    def _grew(self, file: TailedFile, size: int) -> None:
        if size != file.size:
            file.size = size
            file.grown_at_s = self._clock()
            if file.unread_since_s is None:
                file.unread_since_s = file.grown_at_s

    async def _discover(self, seen: Seen, predecessor: TailedFile | None, at_end: bool) -> None:
        if not seen.size:
            return  # nothing to know it by
        fd = await self._open(seen)
        if fd is None:
            return
        head = await _blocking(read_at, fd, 0, PREFIX_BYTES)
        originals = self._originals(seen, head)
        if not head or (originals and self._settling(seen)):
            os.close(fd)
            return
        for file in originals:  # truncated, and grown beyond its size since, it shows in no scan
            await self._changed(file, file.fd)
        if seen.inode in self.files:
            os.close(fd)
            return
        self._held.pop(seen.inode, None)
        place = await _blocking(beginning, new_id(), seen.path, fd)
        if at_end:
            place = place._replace(position=await _blocking(_last_line_end, fd, seen.size))
            place = place._replace(fingerprint=await _blocking(fingerprint, fd, place.position))
        file = self._add(TailedFile(seen.inode, place, seen.size, self._clock(), self._scans, fd, head))
        file.predecessor = predecessor
        level = logging.INFO if len(self.files) <= TOLD_FILES else logging.DEBUG
        log.log(level, "Watching path=%s from=%d size=%d", shown(seen.path), place.position, seen.size)

    def _originals(self, seen: Seen, head: bytes) -> list[TailedFile]:
        """What a new file that begins so may be the copy of."""
        directory = os.path.dirname(seen.path)
        return [
            file
            for file in self.files.values()
            if file.head
            and file.found_in_scan < self._scans
            and file.rotated_at_s is None
            and file.head[: len(head)] == head[: len(file.head)]
            and os.path.dirname(file.place.path) == directory
        ]

    def _settling(self, seen: Seen) -> bool:
        size, since_s = self._held.get(seen.inode, (-1, 0.0))
        if size != seen.size:
            self._held[seen.inode] = (seen.size, self._clock())
            return True
        return self._clock() - since_s < COPY_SETTLES_S

    async def _look_after_rotated(self, file: TailedFile) -> None:
        fd = await self.open(file)
        if fd is None:
            if not file.busy:
                unread = file.size - file.place.position
                say = log.warning if unread > 0 else log.info
                say("A file is gone path=%s unread_bytes=%d", shown(file.place.path), unread)
                self.forget(file)
            return
        if file.rotated_at_s is None:
            file.rotated_at_s = self._clock()
        size = os.fstat(fd).st_size
        if size < file.size:
            await self._changed(file, fd)
        else:
            self._grew(file, size)

    async def _find_copy(self, file: TailedFile) -> tuple[Seen, int] | None:
        """The newest file beside `file` that nobody reads yet and that begins with all that was read of it."""
        place = file.place
        if place.fingerprint == UNKNOWN:
            return None
        beside = await _blocking(lambda path: list(neighbours(path, self._complain)), place.path)
        for seen in sorted(beside, key=lambda seen: -seen.modified_at_s):
            if seen.inode in self.files or seen.size < place.position:
                continue
            fd = await self._open(seen)
            if fd is None:
                continue
            if await _blocking(place.fingerprint.fits, fd, place.position):
                return seen, fd
            os.close(fd)
        return None

    async def _open(self, seen: Seen) -> int | None:
        try:
            return await _blocking(open_file, seen.path, seen.inode)
        except OSError as error:
            self._complain(seen.path, error)
            return None

    async def _open_any(self, file: TailedFile, candidates: Iterable[Seen]) -> int | None:
        for seen in candidates:
            fd = await self._open(seen)
            if fd is not None:
                file.place = file.place._replace(path=seen.path)
                return fd
        return None


def _is_of(fd: int, entry: Entry, path: str) -> bool:
    """Whether the open file is the one that an entry is about."""
    if not entry.fingerprint.fits(fd, entry.position):
        return False
    if entry.fingerprint != UNKNOWN or path == entry.path:
        return True
    # Another agent's position, under another name: lines have an end there.
    return entry.position == 0 or read_at(fd, entry.position - 1, 1) == b"\n"


def _last_line_end(fd: int, size: int) -> int:
    """Where the last line that is not complete starts, looking back a MiB at most."""
    back = min(size, 1 << 20)
    found = read_at(fd, size - back, back).rfind(b"\n")
    return size - back + found + 1 if found >= 0 or back == size else size


async def _blocking(call: Callable[..., T], *arguments: object) -> T:
    """A call that waits for the disk, in a thread."""
    return await asyncio.to_thread(call, *arguments)
