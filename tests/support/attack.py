"""Clients that mean harm, many at once, in a process of their own: `python -m tests.support.attack KIND PORT COUNT`.

Each kind is a coroutine for one connection. It says how it ended: `held` (still open when the attack was called off),
or what the server did.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

LOCALHOST = "127.0.0.1"
# Attackers come from these addresses in turn, so that ports don't run out.
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 10)]
AT_ONCE = 200  # connections being opened
PAUSE_S = 0.05  # before a connection that was closed is opened again: the harm is in what is sent, not in how often
ROOT = Path(__file__).parents[2]

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, random.Random], Awaitable[str]]

HEAD = b"POST /logCollect2 HTTP/1.1\r\nHost: sluice\r\nContent-Type: text/plain\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: sluice\r\n\r\n"


async def idle(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Connects and says nothing."""
    return await _what_it_says(reader)


async def keep_alive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Makes one right request, and nothing more."""
    writer.write(GET)
    await reader.readuntil(b"\r\n\r\n")
    return await _what_it_says(reader)


async def slow_heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """A header now and then, for ever: slowloris."""
    return await _drip(reader, writer, HEAD, lambda number: b"X-%d: a\r\n" % number)


async def slow_bodies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """A byte of the body now and then."""
    return await _drip(reader, writer, HEAD + b"Content-Length: 100000\r\n\r\n", lambda _: b"x")


async def slow_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """A chunk of one byte now and then."""
    return await _drip(reader, writer, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", lambda _: b"1;a=b\r\nx\r\n")


async def stalled_bodies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Fifteen megabytes, all but the last byte."""
    body = b"x" * (15 << 20)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (len(body) + 1))
    writer.write(body)
    return await _what_it_says(reader)


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Ends its half in the middle of a request."""
    writer.write(HEAD + b"Content-Length: 100000\r\n\r\nx")
    writer.write_eof()
    return await _what_it_says(reader)


async def never_reading(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Asks for page after page, or whatever its port is asked for, and reads no answer."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    request = (_payload or b"GET / HTTP/1.1\r\nHost: sluice\r\n\r\n") * 100
    return await _write_for_ever(writer, lambda: request)


async def pipelining(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Asks without waiting for answers, and reads them."""
    reading = asyncio.create_task(_what_it_says(reader))
    requests = GET * 100
    try:
        return await _write_for_ever(writer, lambda: requests)
    finally:
        reading.cancel()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> str:
    """Random bytes."""
    return await _once(reader, writer, rng.randbytes(rng.randrange(1, 5_000)))


async def near_misses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> str:
    """Requests that are wrong somewhere: gigantic addresses and headers, framing that contradicts itself, bombs."""
    return await _once(reader, writer, rng.choice(NEAR_MISSES))


async def endless_heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Header after header as fast as they go."""
    writer.write(HEAD)
    reading = asyncio.create_task(_what_it_says(reader))
    line = b"X: " + b"a" * 8_000 + b"\r\n"
    try:
        ended = await _write_for_ever(writer, lambda: line)
        return await reading if ended != "held" else ended
    finally:
        reading.cancel()


async def large_heads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _rng: random.Random) -> str:
    """Half a head of 60 KB, and no more of it."""
    writer.write(HEAD + (b"X: " + b"a" * 8_000 + b"\r\n") * 7)
    return await _what_it_says(reader)


async def silence_in_the_middle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> str:
    """The beginning of something, then nothing: for ports that don't speak HTTP."""
    writer.write(rng.choice(BEGINNINGS))
    return await _what_it_says(reader)


async def gigantic_lengths(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rng: random.Random) -> str:
    """A frame that claims gigabytes, and as much of it as is taken."""
    writer.write(rng.choice(GIGANTIC))
    reading = asyncio.create_task(_what_it_says(reader))
    piece = rng.randbytes(65_536).replace(b"\n", b"x")
    try:
        ended = await _write_for_ever(writer, lambda: piece, at_most=8 << 20)
        return await reading if ended != "held" else ended
    finally:
        reading.cancel()


_payload = b""  # the program's, where one is given
_BOMB = gzip.compress(b"\0" * (200 << 20), 9)
NEAR_MISSES = (
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    HEAD + b"Content-Length: -1\r\n\r\n",
    HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    HEAD + b"Content-Length: 999999999999\r\n\r\nx",
    HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 100_000 + b"\r\nx\r\n0\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 5_000 + b"0\r\n" + b"T: a\r\n" * 5_000 + b"\r\n",
    HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB,
    HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + b"x" * 100_000,
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 500,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100,
)
BEGINNINGS = (
    b"<",
    b"<13>Oct 11 22:14:15 web-1 app: no end",
    b"999999999 <13>1 - - - - - -",
    b"\x80\x01\0\x01\0\0\0\x06append",
    b"\0\0\0\x10\0\0",
    b"\0\0\0\x01\0\0\0\x01\0\0\xff\xff",
    b"\x82\x21\x01",
)
GIGANTIC = (
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x10\0\0\0",
    b"\0\0\0\x01\x7f\xff\xff\xff",
    b"\0\0\0\x01\0\0\0\x01\x7f\xff\xff\xff",
    b"\x80\x01\0\x01\x7f\xff\xff\xff",
    b"\x82\x21\x01\xff\xff\xff\xff\x07",
    b"99999999999 <13>",
    b"<13>",
)
KINDS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        *(idle, keep_alive, slow_heads, slow_bodies, slow_chunks, stalled_bodies, half_closed, never_reading),
        *(pipelining, garbage, near_misses, endless_heads, large_heads, silence_in_the_middle, gigantic_lengths),
    )
}
REPEATED = frozenset({"garbage", "near_misses", "gigantic_lengths", "endless_heads"})


class Attack:
    """An attack of one kind. Between `begin` and `end` it goes on, at most for `seconds`; several can at once.

    `opened` is there after `wait_opened`, `report` after `end`: how many connections were made, and ended, how.
    """

    def __init__(
        self, kind: str, port: int, connections: int, seconds: float = 120.0, seed: int = 1, payload: bytes = b""
    ) -> None:
        self.kind = kind
        self.opened: dict[str, int] = {}
        self.report: dict[str, int] = {}
        self._arguments = [kind, str(port), str(connections), str(seconds), str(seed), payload.hex()]
        self._process: subprocess.Popen[str] | None = None

    def begin(self) -> None:
        """Start the program."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.attack", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def wait_opened(self) -> None:
        """Wait until each connection has been tried."""
        assert self._process is not None
        assert self._process.stdout is not None
        self.opened = json.loads(self._process.stdout.readline() or "{}")

    def call_off(self) -> None:
        """Tell it to end."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.stdin = None

    def end(self) -> None:
        """Wait for its end; kill it where that takes long."""
        self.call_off()
        if self._process is None:
            return
        try:
            said, _nothing = self._process.communicate(timeout=60)
            self.report = json.loads(said.strip() or "{}")
        finally:
            self._process.kill()
            self._process.wait()


async def attack(kind: str, port: int, connections: int, seconds: float, seed: int) -> None:
    """Open the connections, say so, go on until told by the end of stdin or the time, and say how each ended."""
    stop = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(sys.stdin, lambda: stop.done() or stop.set_result(None))
    ended: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    tried = asyncio.get_running_loop().create_future()  # each connection once
    turn = asyncio.Semaphore(AT_ONCE)

    def count(how: str) -> None:
        opened[how] += 1
        if sum(opened.values()) == connections:
            tried.set_result(None)

    async def one(number: int) -> None:
        rng = random.Random(seed * 1_000_003 + number)
        while True:
            try:
                async with turn:
                    reader, writer = await _connect(port, ADDRESSES[number % len(ADDRESSES)])
            except OSError as error:
                count(type(error).__name__)
                ended[f"not connected: {type(error).__name__}"] += 1
                return
            count("connected")
            try:
                ended[await KINDS[kind](reader, writer, rng)] += 1
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
                ended[type(error).__name__] += 1
            except asyncio.CancelledError:
                ended["held"] += 1
                raise
            finally:
                writer.transport.abort()
            if kind not in REPEATED or stop.done():  # a cancellation may get lost in wait_for, up to Python 3.11
                return
            await asyncio.sleep(PAUSE_S)

    tasks = [asyncio.create_task(one(number)) for number in range(connections)]
    give_up_at = time.monotonic() + seconds
    await asyncio.wait([stop, tried], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    print(json.dumps(opened), flush=True)
    await asyncio.wait([stop], timeout=max(0.0, give_up_at - time.monotonic()))
    stop.done() or stop.set_result(None)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(ended), flush=True)


async def _connect(port: int, address: str) -> Streams:
    sock = socket.socket()
    sock.setblocking(False)
    sock.bind((address, 0))
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, (LOCALHOST, port)), 60)
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


async def _what_it_says(reader: asyncio.StreamReader) -> str:
    first = await reader.read(1_000)
    while await reader.read(65_536):
        pass
    return "closed" if not first else first.partition(b"\r\n")[0].decode("latin-1")[:40]


async def _once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> str:
    writer.write(data)
    try:
        return await asyncio.wait_for(_what_it_says(reader), 2)
    except asyncio.TimeoutError:
        return "no answer"


async def _drip(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, drop: Callable[[int], bytes]
) -> str:
    saying = asyncio.create_task(_what_it_says(reader))
    try:
        writer.write(first)
        number = 0
        while not saying.done():
            await asyncio.wait([saying], timeout=1)
            writer.write(drop(number))
            number += 1
        return await saying
    finally:
        saying.cancel()


async def _write_for_ever(writer: asyncio.StreamWriter, piece: Callable[[], bytes], at_most: int | None = None) -> str:
    written = 0
    try:
        while at_most is None or written < at_most:
            data = piece()
            writer.write(data)
            written += len(data)
            await writer.drain()
    except OSError:
        pass
    return "closed while writing"


def main(arguments: list[Any]) -> None:
    """The program of `Attack`."""
    global _payload
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    kind, port, connections, seconds, seed, payload = arguments
    _payload = bytes.fromhex(payload)
    asyncio.run(attack(kind, int(port), int(connections), float(seconds), int(seed)))


if __name__ == "__main__":
    main(sys.argv[1:])
