"""Splits a plain text body into lines, the way a log is meant: one event a line."""

from __future__ import annotations


def split_lines(text: bytes) -> list[bytes]:
    """The lines of `text` without their endings (LF, or CR LF); empty ones are left out, all other bytes kept.

    A lone CR is a byte like any other, and the last line needs no ending. Any bytes are text here.
    """
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    if text.endswith(b"\r"):  # the last line's CR, its LF cut off by whoever sent it
        text = text[:-1]
    return [line for line in text.split(b"\n") if line]
