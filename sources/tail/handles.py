"""Few open files for many watched ones: those not used for longest are closed, unless something of them is unread."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Protocol


class Holder(Protocol):
    """What may hold a descriptor."""

    fd: int | None
    busy: bool
    rotated_at_s: float | None
    size: int
    read_size: int
    old_fds: list[int]


class Handles:
    """Keeps at most `most` descriptors open, not counting those that are needed.

    Needed are files that are being read, and rotated ones, to which no name may lead back. A file with unread lines is
    closed only when too many others have some, too.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._used: OrderedDict[int, Holder] = OrderedDict()  # by the holder's id, least recently used first

    def __len__(self) -> int:
        return len(self._used)

    def use(self, holder: Holder) -> None:
        """The holder's file was used just now; others may be closed for it."""
        if holder.fd is None:
            self._used.pop(id(holder), None)
            return
        self._used[id(holder)] = holder
        self._used.move_to_end(id(holder))
        if len(self._used) <= self._most:
            return
        idle = [each for each in self._used.values() if each is not holder and not self._needed(each)]
        if idle:
            self.close(min(idle, key=lambda each: each.size != each.read_size))

    def close(self, holder: Holder) -> None:
        """Close what the holder has, at once or when it is not busy any more (`release`)."""
        self._used.pop(id(holder), None)
        if holder.fd is not None:
            holder.old_fds.append(holder.fd)
            holder.fd = None
        self.release(holder)

    def release(self, holder: Holder) -> None:
        """Close descriptors that the holder has no use for any more."""
        if not holder.busy:
            while holder.old_fds:
                os.close(holder.old_fds.pop())

    def forget(self, holder: Holder) -> None:
        """The holder's descriptor is another's now."""
        self._used.pop(id(holder), None)

    def _needed(self, holder: Holder) -> bool:
        return holder.busy or holder.rotated_at_s is not None
