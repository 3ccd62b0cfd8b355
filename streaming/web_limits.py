"""How much the clients of the web may take: connections, time, and memory that no request accounts for."""

from __future__ import annotations

import errno
import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

# Left to Kafka, RocksDB, the history's buffers and the other sources; of a small limit, half.
OTHER_DESCRIPTORS = 2_048
SAY_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class WebLimits:
    """Bounds of one worker's web server. Beyond them clients are cut off, those first who have done least."""

    max_connections: int = 16_384  # an idle one takes some 6 KB of memory
    keepalive_timeout_s: float = 75.0  # idle: longer than the 60 s of usual proxies, so that it is they who close
    head_timeout_s: float = 20.0  # from the first byte of a request's head to its last
    head_bytes: int = 65_536
    held_bytes: int = 67_108_864  # of all heads that aren't complete, and of requests behind one in progress
    write_timeout_s: float = 30.0  # in which a client takes `write_bytes` of its answer at least
    write_bytes: int = 32_768
    unsent_bytes: int = 67_108_864  # of all answers that clients don't take
    slow_body_s: float = 10.0  # when connections run out, a body that takes longer makes room


def descriptor_free() -> bool:
    """Whether this process may open one file more. When it may not, uvloop closes new connections without a word."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in (errno.EMFILE, errno.ENFILE)
    return True


def connections_within(max_connections: int, descriptors: int) -> int:
    """How many connections may be open at once in a process that may have so many files open."""
    return max(1, min(max_connections, descriptors - min(OTHER_DESCRIPTORS, descriptors // 2)))


class Troubles:
    """Counts what clients do wrong by reason, and logs it: the first at once, then once a minute how many more.

    `counts` has a bounded set of keys: reasons from the code.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}
        self._newest: dict[str, str] = {}

    def add(self, reason: str, peer: str) -> None:
        """One more; `peer` is the client's address."""
        self.counts[reason] += 1
        self._newest[reason] = peer
        if reason not in self._said:
            self._say(reason, 1)

    def say(self) -> None:
        """Log what is new and was not said within the last minute. To be called every few seconds."""
        now = self._clock()
        for reason, count in self.counts.items():
            at, said = self._said[reason]
            if count > said and now - at >= SAY_AGAIN_S:
                self._say(reason, count - said)

    def _say(self, reason: str, new: int) -> None:
        self._said[reason] = (self._clock(), self.counts[reason])
        log.warning(
            "Clients of the web were refused or cut off: reason=%s new=%d newest_from=%s",
            reason,
            new,
            self._newest[reason],
        )


def peer_of(transport: Any) -> str:
    """The address at the other end, without its port."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
