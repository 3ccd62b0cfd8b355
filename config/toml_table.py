"""Reads tables of the routes file key by key, and collects everything that is wrong, each with its line."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeVar

from config.errors import RoutesError
from config.toml_lines import KeyPath, TomlLines
from config.wording import did_you_mean, listed, quoted

Word = TypeVar("Word", bound=str)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_TYPES = {
    str: "a string",
    bool: "a boolean",
    int: "a whole number",
    float: "a number",
    list: "an array",
    dict: "a table",
}


class Problems:
    """What is wrong with one file, so far."""

    def __init__(self, file: Path, lines: TomlLines) -> None:
        self._file = file
        self._lines = lines
        self._found: list[tuple[int, str]] = []

    def add(self, path: KeyPath, what: str) -> None:
        """Note that the value at `path` is wrong, or that it is missing there."""
        line = self._lines.line(path)
        self._found.append((line, f"{self._file}:{line}: {dotted(path)}: {what}"))

    def raise_if_any(self) -> None:
        """Raises RoutesError with all that was noted, in the order of the file."""
        if self._found:
            raise RoutesError(text for _, text in sorted(self._found, key=lambda found: found[0]))


def dotted(path: KeyPath) -> str:
    """A path as TOML writes the key, without the indices: the line number says which one is meant."""
    keys = [key for key in path if isinstance(key, str)]
    return ".".join(key if _BARE_KEY.fullmatch(key) else quoted(key) for key in keys)


def kind_of(value: object) -> str:
    """The TOML type of a value, for messages."""
    return _TYPES.get(type(value), "a date or time")


class Table:
    """One TOML table. Every method returns the value, or None after noting what is wrong with it."""

    def __init__(self, values: dict[str, Any], path: KeyPath, problems: Problems) -> None:
        self.values = values
        self.path = path
        self.problems = problems

    def wrong(self, what: str, *keys: str | int) -> None:
        """Note a problem of this table, or of the value that `keys` lead to."""
        self.problems.add((*self.path, *keys), what)

    def allow(self, known: Collection[str]) -> None:
        """Note every key that is not `known`."""
        for key in self.values:
            if key not in known:
                self.wrong(f"unknown key{did_you_mean(key, known) or f'; known are {listed(known)}'}", key)

    def has(self, *keys: str) -> bool:
        """Note every key that is missing; true where none is."""
        for key in keys:
            if key not in self.values:
                self.wrong(f"missing key {key!r}")
        return all(key in self.values for key in keys)

    def text(self, key: str) -> str | None:
        """A string that is not empty; None also where there is none."""
        return self._text(self.values[key], key) if key in self.values else None

    def texts(self, key: str) -> tuple[str, ...] | None:
        """An array of strings that are not empty."""
        elements = self.array(key)
        if elements is None:
            return None
        texts = [self._text(element, key, index) for index, element in enumerate(elements)]
        return tuple(text for text in texts if text is not None) if None not in texts else None

    def choice(self, key: str, words: Collection[Word]) -> Word | None:
        """One of `words`; None also where there is none."""
        text = self.text(key)
        for word in words:
            if word == text:
                return word
        if text is not None:
            self.wrong(f"{quoted(text)} is not {listed(words)}{did_you_mean(text, words)}", key)
        return None

    def array(self, key: str) -> list[Any] | None:
        """An array of anything; None also where there is none."""
        value = self.values.get(key)
        if value is None or isinstance(value, list):
            return value
        self._mistyped("an array", value, key)
        return None

    def table(self, key: str) -> Table | None:
        """A table, which may be empty; None also where there is none."""
        return self._table(self.values[key], key) if key in self.values else None

    def tables(self, key: str) -> list[Table]:
        """The tables of an array, without the elements that are something else; empty where there is none."""
        value = self.values.get(key, [])
        if isinstance(value, dict):
            self.wrong(f"is an array of tables: write [[{dotted((*self.path, key))}]]", key)
            return []
        elements = self.array(key) or []
        tables = [self._table(element, key, index) for index, element in enumerate(elements)]
        return [table for table in tables if table is not None]

    def _text(self, value: object, *keys: str | int) -> str | None:
        if not isinstance(value, str):
            self._mistyped("a string", value, *keys)
            return None
        if not value:
            self.wrong("is empty", *keys)
        return value or None

    def _table(self, value: object, *keys: str | int) -> Table | None:
        if not isinstance(value, dict):
            self._mistyped("a table", value, *keys)
            return None
        return Table(value, (*self.path, *keys), self.problems)

    def _mistyped(self, expected: str, value: object, *keys: str | int) -> None:
        self.wrong(f"must be {expected}, not {kind_of(value)} {quoted(value)}", *keys)
