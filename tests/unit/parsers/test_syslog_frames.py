"""Where messages begin and end in a stream."""

from __future__ import annotations

import pytest

from parsers.syslog_frames import Frame, Framer, trimmed


def frames(*chunks: bytes, max_bytes: int = 100, clean: bool = True) -> list[Frame]:
    framer = Framer(max_bytes)
    found = []
    for chunk in chunks:
        framer.feed(chunk)
        while some := framer.take(3):
            found += some
    return found + framer.finish(clean)


def whole(*messages: bytes) -> list[Frame]:
    return [Frame(message, "whole") for message in messages]


@pytest.mark.parametrize(
    ("stream", "messages"),
    [
        (b"<1>a\n<2>b\n", [b"<1>a", b"<2>b"]),
        (b"<1>a\r\n\r\n\n\n<2>b\r\n", [b"<1>a", b"<2>b"]),
        (b"<1>a\n<2>without an end", [b"<1>a", b"<2>without an end"]),
        (b"4 <1>a5 <2>bc", [b"<1>a", b"<2>bc"]),
        (b"4 <1>a\n5 <2>bc\n", [b"<1>a", b"<2>bc"]),
        (b"5 <1>a\n<2>b\n6 <3>c\r\n7 <4>\nd\re<5>f\n", [b"<1>a", b"<2>b", b"<3>c", b"<4>\nd\re", b"<5>f"]),
        (b"2026-11-21 a line\n12 monkeys\n<1>a\n", [b"2026-11-21 a line", b"12 monkeys", b"<1>a"]),
        (b"0 <1>a\n123456789 <2>b\n", [b"0 <1>a", b"123456789 <2>b"]),
        (b"", []),
        (b"\n\n", []),
        (b"12 ", [b"12 "]),
        (b"1 <1 <", [b"<", b"<"]),
    ],
)
def test_whole_messages_however_they_arrive(stream: bytes, messages: list[bytes]) -> None:
    assert frames(stream) == whole(*messages)
    assert frames(*(stream[at : at + 1] for at in range(len(stream)))) == whole(*messages)
    for at in range(len(stream)):
        assert frames(stream[:at], stream[at:]) == whole(*messages)


def test_a_line_that_is_too_long_comes_in_pieces_and_the_next_is_found() -> None:
    """The sizes of Flume's testExtractBadEventLarge."""
    stream = b"<10> bad bad data bad bad\n<1>next\n"
    expected = [
        Frame(b"<10> bad b", "begin"),
        Frame(b"ad data ba", "rest"),
        Frame(b"d bad", "rest"),
        Frame(b"<1>next", "whole"),
    ]
    assert frames(stream, max_bytes=10) == expected
    assert frames(*(stream[at : at + 1] for at in range(len(stream))), max_bytes=10) == expected


def test_a_counted_message_that_is_too_long_comes_in_pieces() -> None:
    stream = b"25 <10> bad\n5 <1>b <20>bad b7 <1>next"
    expected = [
        Frame(b"<10> bad\n5", "begin"),
        Frame(b" <1>b <20>", "rest"),
        Frame(b"bad b", "rest"),
        Frame(b"<1>next", "whole"),
    ]
    assert frames(stream, max_bytes=10) == expected
    assert frames(*(stream[at : at + 1] for at in range(len(stream))), max_bytes=10) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_as_long_as_allowed_is_not_too_long(end: bytes) -> None:
    for chunks in ([b"<1>3456789" + end], [b"<1>3456789", end], [b"<1>3456789" + end[:1], end[1:]]):
        assert frames(*chunks, max_bytes=10) == whole(b"<1>3456789")


def test_what_looks_like_a_message_within_a_long_one_is_none() -> None:
    assert frames(b"<1>45678905 <1>a<2>b\n", max_bytes=10) == [
        Frame(b"<1>4567890", "begin"),
        Frame(b"5 <1>a<2>b", "rest"),
    ]


def test_the_end_of_a_stream() -> None:
    assert frames(b"<1>abc", clean=False) == [Frame(b"<1>abc", "begin")]
    assert frames(b"10 <1>abc", clean=True) == [Frame(b"<1>abc", "begin")]
    assert frames(b"<1>4567890abc", max_bytes=10, clean=True) == [Frame(b"<1>4567890", "begin"), Frame(b"abc", "rest")]
    assert frames(b"<1>4567890a", max_bytes=10, clean=True) == [Frame(b"<1>4567890", "begin"), Frame(b"a", "rest")]


def test_it_holds_no_more_than_a_message() -> None:
    framer = Framer(100)
    framer.feed(b"<1>" + b"x" * 100_000)
    while framer.take(7):
        pass
    assert len(framer._buffer) <= 101


@pytest.mark.parametrize(
    ("datagram", "message"),
    [(b"a\n", b"a"), (b"a\r\n", b"a"), (b"a\0", b"a"), (b"a\n\n", b"a\n"), (b"a\r", b"a\r"), (b"", b""), (b"\n", b"")],
)
def test_one_end_is_trimmed(datagram: bytes, message: bytes) -> None:
    assert trimmed(datagram) == message
