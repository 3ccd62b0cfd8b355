"""Which file is which: what its bytes must look like to be the one that was read before."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

# The first bytes tell files apart that got the same inode one after the other. The bytes before the position tell a
# file that was truncated, and has grown beyond the position again, from one that was only appended to.
PREFIX_BYTES = 1024
BEFORE_BYTES = 128


class Digest(NamedTuple):
    """So many bytes, and their hash."""

    n_bytes: int
    sha: str


NOTHING = Digest(0, "")


def digest(data: bytes) -> Digest:
    """The digest of some bytes; files may be shorter than what is looked at, so the length belongs to it."""
    return Digest(len(data), hashlib.blake2b(data, digest_size=16).hexdigest()) if data else NOTHING


class Fingerprint(NamedTuple):
    """What a file begins with, and what stands before the position up to which it was read."""

    prefix: Digest
    before: Digest

    def fits(self, fd: int, position: int) -> bool:
        """Whether the open file holds these bytes, and so reaches to the position. Raises OSError."""
        before = self.before
        return (
            digest(read_at(fd, 0, self.prefix.n_bytes)) == self.prefix
            and digest(read_at(fd, position - before.n_bytes, before.n_bytes)) == before
            and (before.n_bytes > 0 or position <= os.fstat(fd).st_size)
        )


UNKNOWN = Fingerprint(NOTHING, NOTHING)


def fingerprint(fd: int, position: int) -> Fingerprint:
    """Of an open file, all of which up to `position` was read. Raises OSError."""
    n_bytes = min(BEFORE_BYTES, position)
    return Fingerprint(digest(read_at(fd, 0, PREFIX_BYTES)), digest(read_at(fd, position - n_bytes, n_bytes)))


def read_at(fd: int, offset: int, n_bytes: int) -> bytes:
    """Bytes of a file; fewer only at its end. Raises OSError."""
    data = os.pread(fd, n_bytes, offset) if n_bytes else b""
    while data and len(data) < n_bytes:
        more = os.pread(fd, n_bytes - len(data), offset + len(data))
        if not more:
            break
        data += more
    return data
