"""On which line each key and value of a TOML document stands, which tomllib does not say."""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from contextlib import suppress

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of tables and indices of arrays, `("business", 0, "fields", "amount")`."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"\\\n]*(?:\\.[^"\\\n]*)*"|'[^'\n]*'""")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
# A multi-line string may end in up to two quotes of its own before the three that close it.
_PLAIN_VALUE = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""(?:"{0,2})'''
    r"""|'''.*?'''(?:'{0,2})"""
    r'''|"[^"\\]*(?:\\.[^"\\]*)*"'''
    r"""|'[^']*'"""
    r"""|[^\s,\[\]{}#"'][^,\]}\n#]*""",
    re.DOTALL,
)


class TomlLines:
    """The lines of a document that tomllib has accepted, counted from 1.

    `found` has every table, key and array element. A table stands where its header is, or else where it is first
    mentioned; a key and an element where they begin. Should a newer tomllib accept syntax that is not known here, what
    follows that place counts as part of it, and nothing is raised.
    """

    def __init__(self, text: str) -> None:
        scanner = _Scanner(text.replace("\r\n", "\n"))
        with suppress(_UnknownSyntax):
            scanner.document()
        self.found: dict[KeyPath, int] = scanner.found

    def line(self, path: KeyPath) -> int:
        """The line of `path`, or of the nearest thing around it where it is missing; 1 where nothing is."""
        while path and path not in self.found:
            path = path[:-1]
        return self.found.get(path, 1)


class _UnknownSyntax(Exception):
    """The scanner does not understand the place it is at."""


class _Scanner:
    """Walks over a document from front to back. `found` is right as far as it got, also after _UnknownSyntax."""

    def __init__(self, text: str) -> None:
        self.found: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._newlines = [match.start() for match in re.finditer("\n", text)]
        self._array_lengths: dict[KeyPath, int] = {}  # arrays of tables: how many headers so far

    def document(self) -> None:
        table: KeyPath = ()
        while self._skip_blank() < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        """Read `[table]` or `[[array of tables]]`; returns the path of the table that it opens."""
        line = self._line()
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        *parents, last = self._key()
        self._expect("]" * brackets)
        path: KeyPath = ()
        for parent in parents:
            path = (*path, parent)
            self.found.setdefault(path, line)
            if path in self._array_lengths:  # a header means the newest table of an array
                path = (*path, self._array_lengths[path] - 1)
        path = (*path, last)
        if brackets == 2:
            self.found.setdefault(path, line)
            index = self._array_lengths.get(path, 0)
            self._array_lengths[path] = index + 1
            path = (*path, index)
        self.found[path] = line
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for part in self._key():
            path = (*path, part)
            self.found.setdefault(path, line)
        self._expect("=")
        self._value(path)

    def _key(self) -> list[str]:
        """Read a key, dotted or not, and the space after it."""
        parts = [self._key_part()]
        while dot := _DOT.match(self._text, self._at):
            self._at = dot.end()
            parts.append(self._key_part())
        return parts

    def _key_part(self) -> str:
        self._skip_blank()
        raw = self._match(_KEY_PART)
        if raw[0] not in "\"'":
            return raw
        try:
            key: str = next(iter(tomllib.loads(f"{raw}=0")))
        except tomllib.TOMLDecodeError:
            raise _UnknownSyntax from None
        return key

    def _value(self, path: KeyPath) -> None:
        self._skip_blank()
        if self._stepped_over("["):
            index = 0
            while not self._closed_by("]"):
                element = (*path, index)
                self.found[element] = self._line()
                self._value(element)
                index += 1
        elif self._stepped_over("{"):
            while not self._closed_by("}"):
                self._pair(path)
        else:
            self._match(_PLAIN_VALUE)

    def _closed_by(self, bracket: str) -> bool:
        """Step over a comma, to the next element, or over `bracket`, where there is none."""
        self._skip_blank()
        self._stepped_over(",")
        self._skip_blank()
        return self._stepped_over(bracket)

    def _skip_blank(self) -> int:
        """Step over space, newlines and comments; returns the place reached."""
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at
        return self._at

    def _expect(self, token: str) -> None:
        self._skip_blank()
        if not self._stepped_over(token):
            raise _UnknownSyntax

    def _stepped_over(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _match(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise _UnknownSyntax
        self._at = match.end()
        return match[0]

    def _line(self) -> int:
        return bisect_left(self._newlines, self._at) + 1
