"""Makes inputs out of valid samples: noise, mutations, splices, and long repetitions of something short."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

# Where parsers of text and of binary formats have their edges.
WORDS: tuple[bytes, ...] = (
    *(b"\0", b"\n", b"\r\n", b"\r", b"\t", b" ", b'"', b"\\", b'\\"', b"\\u0000", b"\\ud800", b"\xff", b"\xff\xfe"),
    *(b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"\x1b[31m", b"\x1b]0;x\x07", b"<script>"),
    *(b"../../", b"%00", b"%", b"-", b"--", b"=", b"==", b",", b":", b";", b"[", b"]", b"{", b"}", b"[[", b"<", b">"),
    *(b"0", b"-1", b"-0", b"1e999", b"NaN", b"9" * 20, b"9" * 400, b"2147483648", b"18446744073709551616", b"0x10"),
    *(b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\xff\xff\xff\xff", b"\xff" * 10, b"\x80" * 9 + b"\x01", b"null", b"true"),
)
LONGEST = 1 << 20


class Mutator:
    """An endless supply of inputs. The same seed and the same calls of `learn` give the same inputs."""

    def __init__(
        self, samples: Sequence[bytes], seed: int, words: Sequence[bytes] = (), max_bytes: int = LONGEST
    ) -> None:
        self._random = random.Random(seed)
        self._samples = list(samples) or [b""]
        self._own = len(self._samples)
        self._words = (*WORDS, *words)
        self._max_bytes = max_bytes
        self._ways: tuple[Callable[[bytes], bytes], ...] = (
            *(self._flip, self._flip, self._overwrite, self._insert_word, self._insert_word, self._insert_noise),
            *(self._delete, self._delete, self._copy, self._splice, self._splice, self._cut, self._repeat),
        )

    def next(self) -> bytes:
        """One more input, at most `max_bytes` long; most are short, one in a thousand is long."""
        rng = self._random
        kind = rng.random()
        if kind < 0.05:
            return rng.randbytes(rng.randrange(300))
        data = rng.choice(self._samples)
        if kind < 0.06:
            return self._stretch(data)
        for _ in range(1 + int(rng.expovariate(0.5))):
            data = rng.choice(self._ways)(data)
        return data[: self._max_bytes]

    def learn(self, data: bytes) -> None:
        """Build on this one too: it had an outcome that none had before. A few hundred are kept."""
        if len(data) > 16_384:
            return
        if len(self._samples) < self._own + 400:
            self._samples.append(data)
        else:
            self._samples[self._random.randrange(self._own, len(self._samples))] = data

    def _slice(self, data: bytes) -> tuple[int, int]:
        start = self._random.randrange(len(data) + 1)
        return start, min(len(data), start + 1 + int(self._random.expovariate(0.1)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        changed = bytearray(data)
        changed[self._random.randrange(len(data))] ^= 1 << self._random.randrange(8)
        return bytes(changed)

    def _overwrite(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + self._random.randbytes(end - start) + data[end:]

    def _insert_word(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) + 1)
        return data[:at] + self._random.choice(self._words) + data[at:]

    def _insert_noise(self, data: bytes) -> bytes:
        at = self._random.randrange(len(data) + 1)
        return data[:at] + self._random.randbytes(1 + int(self._random.expovariate(0.2))) + data[at:]

    def _delete(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[end:]

    def _copy(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        at = self._random.randrange(len(data) + 1)
        return data[:at] + data[start:end] + data[at:]

    def _splice(self, data: bytes) -> bytes:
        other = self._random.choice(self._samples)
        return data[: self._random.randrange(len(data) + 1)] + other[self._random.randrange(len(other) + 1) :]

    def _cut(self, data: bytes) -> bytes:
        return data[: self._random.randrange(len(data) + 1)]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._slice(data)
        return data[:start] + data[start:end] * self._random.randrange(2, 60) + data[end:]

    def _stretch(self, data: bytes) -> bytes:
        """A piece of a sample, or a word, over and over: what takes quadratic time shows here."""
        rng = self._random
        start, end = self._slice(data)
        piece = rng.choice((data[start:end], rng.choice(self._words), data[start : start + 1])) or b"a"
        length = rng.choice((2_000, 2_000, 20_000, 20_000, 200_000, self._max_bytes))
        repeated = piece * (length // len(piece))
        return (data[:start] + repeated + data[end:])[: self._max_bytes]
