"""However a file grows, and wherever reading starts again, the same records come out."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sources.tail.records import CATALINA, Piece, Records

CONTENT = st.lists(
    st.sampled_from(
        [b"a", b"bc", b"\n", b"\r\n", b"\r", b"\xff", "ü".encode(), b"21-Nov-2026 10:00:00.000 INFO [x] y", b" "]
    ),
    max_size=60,
).map(b"".join)
STARTS = st.sampled_from([None, re.compile(CATALINA), re.compile(rb"a")])
DECIDES_BYTES = 32  # of a line: as many as any of STARTS needs to tell whether a record starts there


def cut_as_it_grows(records: Records, content: bytes, steps: list[int], quiet: bool) -> list[Piece]:
    """What comes out of a file read whenever it has grown to the sizes of `steps`, each time from where it was."""
    pieces, at, number = [], 0, 0
    for size in (*sorted({min(step, len(content)) for step in steps}), len(content)):
        more, at, number = records.cut(content[at:size], at, number, quiet=quiet)
        pieces += more
    more, at, number = records.cut(content[at:], at, number, finished=True)
    assert at == len(content)
    assert number == 0
    return pieces + more


@given(content=CONTENT, steps=st.lists(st.integers(0, 200)), max_bytes=st.integers(4, 40), start=STARTS)
def test_growth_changes_nothing(content, steps, max_bytes, start):
    """A piece is cut off an unfinished line only when it is longer than a whole piece, which is a MB, not 4 bytes."""
    records = Records(max_bytes if start is None else max_bytes + DECIDES_BYTES, start)
    assert cut_as_it_grows(records, content, steps, quiet=False) == cut_as_it_grows(records, content, [], quiet=False)


@given(
    content=CONTENT,
    steps=st.lists(st.integers(0, 200)),
    max_bytes=st.integers(4, 40),
    start=STARTS,
    quiet=st.booleans(),
)
def test_nothing_is_lost_twice_or_out_of_order(content, steps, max_bytes, start, quiet):
    pieces = cut_as_it_grows(Records(max_bytes, start), content, steps, quiet)
    at = number = 0
    for piece in pieces:
        between = content[at : piece.start]
        assert not between.strip(b"\r\n"), "bytes that no record has"
        assert len(piece.body.rstrip(b"\r\n") if piece.more else piece.body) <= max_bytes
        assert len(piece.body) <= max_bytes + 2
        own = content[piece.start : piece.end]
        assert own.startswith(piece.body)
        assert own[len(piece.body) :] in ((b"",) if piece.more else (b"", b"\n", b"\r\n", b"\r"))
        assert piece.number == (number + 1 if number or piece.more else 0)
        number = piece.number if piece.more else 0
        at = piece.end
    assert not content[at:].strip(b"\r\n")
    assert number == 0


@given(content=CONTENT, max_bytes=st.integers(4, 40))
def test_lines_are_those_of_the_file(content, max_bytes):
    lines = [
        line[:-1] if line.endswith(b"\r") and n < content.count(b"\n") else line
        for n, line in enumerate(content.split(b"\n"))
    ]
    found: list[bytes] = []
    for piece in cut_as_it_grows(Records(max_bytes), content, [], quiet=False):
        if piece.number > 1:
            found[-1] += piece.body
        else:
            found.append(piece.body)
    assert found == [line for line in lines if line]
