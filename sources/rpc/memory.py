"""A bound on the memory of requests that are being read, and on how long one may take to come."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import TracebackType
from typing import ClassVar

from sources.budget import Budget
from sources.listener import ClientTrouble, Connection

# Requests up to this size are not counted: a connection's own buffers are as large, and connections are bounded.
FREE_BYTES = 65_536


class NoRoom(ClientTrouble):
    """The memory for requests is taken, and did not become free in time."""

    reason: ClassVar[str] = "no_room"


class Slow(ClientTrouble):
    """A request did not come in the time allowed."""

    reason: ClassVar[str] = "slow"


class RequestMemory:
    """What the requests of one source may take while they are read and until they are answered.

    A client that finds no room waits, and TCP holds it back; after `wait_s` its connection is closed, so that clients
    that hold a part of all there is never wait for each other. One peer gets half of it at most. One event loop.
    """

    def __init__(self, limit_bytes: int, wait_s: float = 30.0, request_s: float = 60.0) -> None:
        self._budget = Budget(limit_bytes)
        self._per_peer: Counter[str] = Counter()
        self._wait_s = wait_s
        self._request_s = request_s
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used_bytes(self) -> int:
        """What is taken."""
        return self._budget.used_bytes

    def request(self, connection: Connection) -> Request:
        """The memory of one request, for use in a `with`."""
        return Request(self, connection, self._request_s)

    async def take(self, peer: str, n_bytes: int) -> None:
        """Wait for room. Raises: NoRoom, with nothing taken."""
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._wait_s
        while not self._take(peer, n_bytes):
            given = loop.create_future()
            self._waiting.add(given)
            try:
                await asyncio.wait({given}, timeout=give_up_at - loop.time())
            finally:
                self._waiting.discard(given)
            if loop.time() >= give_up_at:
                raise NoRoom(f"{self._budget.used_bytes} bytes of requests are being read or waiting for Kafka")

    def give(self, peer: str, n_bytes: int) -> None:
        """Give back what was taken."""
        if n_bytes:
            self._budget.give(n_bytes)
            self._per_peer[peer] -= n_bytes
            if not self._per_peer[peer]:
                del self._per_peer[peer]
            for given in self._waiting:
                if not given.done():
                    given.set_result(None)

    def _take(self, peer: str, n_bytes: int) -> bool:
        if self._per_peer[peer] + n_bytes > self._budget.limit_bytes // 2 or not self._budget.take(n_bytes):
            return False
        self._per_peer[peer] += n_bytes
        return True


class Request:
    """One request: how long it may take to come, and what it takes in memory until the `with` ends."""

    def __init__(self, memory: RequestMemory, connection: Connection, request_s: float) -> None:
        self._memory = memory
        self._connection = connection
        self._request_s = request_s
        self._timer: asyncio.TimerHandle | None = None
        self._n_bytes = 0
        self._taken = 0
        self._late = False

    def __enter__(self) -> Request:
        self._timer = asyncio.get_running_loop().call_later(self._request_s, self._expire)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.complete()
        self._memory.give(self._connection.peer, self._taken)
        self._taken = 0
        if self._late and isinstance(error, ClientTrouble):
            raise Slow(f"the request did not come within {self._request_s:g} s") from None

    async def add(self, n_bytes: int) -> None:
        """Before so many bytes more are read. Raises: NoRoom."""
        self._n_bytes += n_bytes
        more = self._n_bytes - FREE_BYTES - self._taken
        if more > 0:
            await self._memory.take(self._connection.peer, more)
            self._taken += more

    def complete(self) -> None:
        """It has come: from now on it may take as long as it takes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._late = True
        self._connection.end()
